"""A seat of a training comes free on Friday evening: offered in working hours, and late for whoever gave it back (N1, W2)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from deploy.mailbox import in_french
from deploy.scenes.stage import Person, Stage, expect, moment_of, paris, say
from shared.contracts.catalog import ActivityType

MONDAY = paris(15, 3, 11, 30)


async def play(stage: Stage) -> None:
    await stage.it_is(paris(1, 3, 9))
    session_id = await stage.session(ActivityType.TRAINING, "Pitcher en cinq minutes", paris(18, 3, 14), 1)
    leaver, waiter, late = await stage.people(3)
    booked, waiting = await stage.book(leaver, session_id), await stage.book(waiter, session_id)
    expect((booked["state"], waiting["rank"]) == ("confirmed", 1), "Les deux inscriptions de départ n'ont pas été prises.")
    say("  La formation du jeudi 18 mars à 14 h est pleine ; un agent attend, au rang 1.")

    await stage.it_is(paris(12, 3, 18, 30))
    await _is_closed(stage, late, session_id)
    cancelled = await stage.done(leaver, f"/bookings/{booked['booking_id']}/cancel")
    expect(cancelled["state"] == "late_cancelled", "L'annulation n'est pas comptée comme tardive.")
    await _says_half_a_strike(stage, leaver, booked["booking_id"])

    place = await stage.read(waiter, f"/bookings/{waiting['booking_id']}")
    await _is_offered_until_monday(stage, waiter, place)
    say(f"  À vérifier : {stage.page(session_id)}")


async def _is_closed(stage: Stage, late: Person, session_id: UUID) -> None:
    """Also the sign that booking has heard of the new time."""

    async def refused() -> bool:
        return (await stage.post(late, f"/sessions/{session_id}/bookings")).json().get("code") == "booking_closed"

    await stage.until(refused, "Un nouvel arrivant a pu s'inscrire après la clôture.")
    say("  Les inscriptions sont closes depuis le 11 mars : un nouvel arrivant est refusé, la file continue.")


async def _says_half_a_strike(stage: Stage, leaver: Person, booking_id: str) -> None:
    async def given() -> dict[str, Any] | None:
        found = (await stage.read(leaver, "/me/strikes"))["strikes"]
        return next((each for each in found if each["booking_id"] == booking_id), None)

    strike = await stage.until(given, "L'annulation tardive n'est pas notée.")
    expect(strike["halves"] == 1, "L'annulation tardive ne compte pas pour une demi-absence.")
    say("  Un inscrit annule après la date limite : une demi-absence, dite à lui seul, effacée au bout de six mois.")


async def _is_offered_until_monday(stage: Stage, waiter: Person, place: dict[str, Any]) -> None:
    offer = place["offer"]
    expect(offer and offer["state"] == "offered", "La place libérée n'est pas proposée à la file.")
    deadline = moment_of(offer["deadline"])
    late = f"La proposition court jusqu'au {in_french(deadline)} au lieu du lundi 15 mars à 11 h 30."
    expect(deadline.replace(second=0, microsecond=0) == MONDAY, late)
    say(f"  La place est proposée au premier de la file ({place['reason']}).")
    say("  Réponse attendue avant le lundi 15 mars 2027 à 11 h 30 (quatre heures ouvrées), pas dans la nuit de samedi.")
    say("  " + stage.shown(await stage.mail(waiter, "Une place vous est proposée")))
