"""Two hundred agents want ten seats at the same time (B1)."""

from __future__ import annotations

import asyncio
from collections import Counter

from deploy.scenes.stage import Stage, expect, paris, say
from shared.contracts.catalog import ActivityType

AGENTS, SEATS = 200, 10


async def play(stage: Stage) -> None:
    await stage.it_is(paris(1, 3, 9))
    session_id = await stage.session(ActivityType.INNOVATION_THURSDAY, "Dix places pour deux cents", paris(18, 3, 12, 30), SEATS)
    everyone = await stage.people(AGENTS)

    answers = await asyncio.gather(*(stage.post(person, f"/sessions/{session_id}/bookings") for person in everyone))

    statuses = Counter(answer.status_code for answer in answers)
    expect(statuses == {201: AGENTS}, f"Les {AGENTS} demandes n'ont pas toutes été enregistrées : {dict(statuses)}.")
    places = sorted((answer.json() for answer in answers), key=lambda place: place["session_sequence"])
    states = Counter(place["state"] for place in places)
    expect(states == {"confirmed": SEATS, "waiting": AGENTS - SEATS}, f"Les places ne sont pas réparties comme promis : {dict(states)}.")
    first, queue = places[:SEATS], places[SEATS:]
    expect(all(place["state"] == "confirmed" for place in first), "Un agent arrivé parmi les dix premiers n'a pas de place.")
    expect([place["rank"] for place in queue] == list(range(1, AGENTS - SEATS + 1)), "La file ne suit pas l'ordre d'arrivée.")
    say(f"  {AGENTS} inscriptions simultanées, {SEATS} places : {SEATS} confirmées, {AGENTS - SEATS} en file dans l'ordre d'arrivée.")
    say("  Aucune demande perdue, aucune place donnée deux fois.")
    say(f"  À vérifier : {stage.page(session_id)}")
