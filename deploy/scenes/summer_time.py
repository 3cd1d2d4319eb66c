"""A session moves across the change to summer time: the same entry in the calendar, the same hour on the wall (T1, K1)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from icalendar import Calendar

from deploy.asking import OPERATOR
from deploy.scenes.stage import Person, Stage, expect, paris, period, say
from shared.contracts.catalog import ActivityType, RescheduleSession

BEFORE, AFTER = paris(25, 3, 12, 30), paris(8, 4, 12, 30)  # the clocks change on Sunday 28 March


async def play(stage: Stage) -> None:
    await stage.it_is(paris(1, 3, 9))
    session_id = await stage.session(ActivityType.INNOVATION_THURSDAY, "Séance qui passe à l'heure d'été", BEFORE, 10)
    (person,) = await stage.people(1)
    await stage.book(person, session_id)
    _, first = await _entry(stage, person, BEFORE)

    await stage.bus.ask(RescheduleSession(session_id=session_id, periods=(period(AFTER),), reason="L'intervenante est retenue."), OPERATOR)

    mail, second = await _entry(stage, person, AFTER)
    expect(second["uid"] == first["uid"], "Le courriel crée une deuxième entrée d'agenda au lieu de déplacer la première.")
    expect(second["sequence"] > first["sequence"], "SEQUENCE n'augmente pas : l'agenda ignorerait le déplacement.")
    say("  Déplacée du jeudi 25 mars au jeudi 8 avril 2027, de part et d'autre du changement d'heure :")
    say(f"  même UID, SEQUENCE {first['sequence']} puis {second['sequence']}, 12 h 30 à Paris les deux fois (11 h 30 puis 10 h 30 UTC).")
    say("  " + stage.shown(mail))
    say(f"  À vérifier : {stage.page(session_id)}")


async def _entry(stage: Stage, person: Person, start: datetime) -> tuple[dict[str, Any], dict[str, Any]]:
    """The mail whose calendar part has the session at this moment, and what that says."""

    async def arrived() -> tuple[dict[str, Any], dict[str, Any]] | None:
        for one in (await stage.mails.get("/api/messages", params={"to": person.email})).json():
            mail: dict[str, Any] = (await stage.mails.get(f"/api/messages/{one['id']}")).json()
            for event in Calendar.from_ical(mail["calendar"]["source"]).events if mail["calendar"] else ():
                begins, zone = event.start, event["DTSTART"].params.get("TZID")
                if isinstance(begins, datetime) and begins == start and zone == "Europe/Paris":
                    return mail, {"uid": str(event.uid), "sequence": event.sequence}
        return None

    return await stage.until(arrived, f"Aucun courriel ne place la séance le {start:%d/%m} à 12 h 30, heure de Paris, dans l'agenda.")
