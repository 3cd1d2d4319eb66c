"""The programme as a calendar that anybody subscribes to: a session appears in it, and is struck out when the lab cancels it (K2)."""

from __future__ import annotations

from icalendar import Calendar, Event

from deploy.asking import OPERATOR
from deploy.scenes.stage import Stage, expect, paris, say
from shared.contracts.catalog import ActivityType, CancelSession

ADDRESS = "/api/v1/programme.ics"
OURS = {"theme": "Démonstration"}


async def play(stage: Stage) -> None:
    await stage.it_is(paris(1, 3, 9))
    session_id = await stage.session(ActivityType.INNOVATION_THURSDAY, "Le langage clair, en une heure", paris(1, 4, 12, 30), 30)

    async def listed(status: str) -> Event | None:
        answer = await stage.portal.get(ADDRESS, params=OURS)
        expect(answer.status_code == 200, f"Le calendrier du programme ne répond pas (statut {answer.status_code}).")
        events = Calendar.from_ical(answer.text).events
        return next((each for each in events if each.get("URL") == stage.page(session_id) and each.get("STATUS") == status), None)

    shown = await stage.until(lambda: listed("CONFIRMED"), "La séance n'est pas arrivée dans le calendrier du programme.")
    say("  Une séance est programmée : elle est dans le calendrier public, auquel chacun s'abonne sans compte ni connexion.")

    async def unchanged() -> bool:
        tag = (await stage.portal.get(ADDRESS, params=OURS)).headers["etag"]
        return (await stage.portal.get(ADDRESS, params=OURS, headers={"If-None-Match": tag})).status_code == 304

    await stage.until(unchanged, "Relu sans changement, le calendrier est envoyé une deuxième fois.")
    say("  Relu sans qu'il ait changé, il n'est pas envoyé une deuxième fois.")

    await stage.bus.ask(CancelSession(session_id=session_id, reason="L'intervenante est retenue."), OPERATOR)
    struck = await stage.until(lambda: listed("CANCELLED"), "La séance annulée n'est pas barrée dans le calendrier du programme.")
    expect(struck.get("UID") == shown.get("UID"), "L'annulation crée une deuxième entrée au lieu de barrer la première.")
    expect(struck.get("SEQUENCE") > shown.get("SEQUENCE"), "SEQUENCE n'augmente pas : les agendas ignoreraient l'annulation.")
    say("  Le Lab l'annule : la même entrée est barrée dans tous les agendas abonnés.")
    say(f"  À vérifier : {stage.portal.base_url}{ADDRESS}")
