"""A group of fourteen, twelve seats: they are kept for it, then its contact is asked about a part (G1, W6)."""

from __future__ import annotations

from typing import Any

from deploy.mailbox import in_french
from deploy.scenes.stage import Stage, expect, moment_of, paris, say
from shared.contracts.catalog import ActivityType

NEEDED, SEATS = 14, 12


async def play(stage: Stage) -> None:
    await stage.it_is(paris(1, 3, 9))
    session_id = await stage.session(ActivityType.LABTOUR, "Visite d'un atelier partagé", paris(1, 4, 14), SEATS, private=True)
    (contact,) = await stage.people(1)
    asked = await stage.done(contact, f"/sessions/{session_id}/groups", {"seats_needed": NEEDED, "choice": "all_or_nothing"})
    address = f"/groups/{asked['group_id']}"

    group = await stage.read(contact, address)
    expect(group["state"] == "waiting", "Le groupe n'est pas en file alors qu'il manque deux places.")
    expect(group["seats_held"] == SEATS, f"{group['seats_held']} places sont gardées pour le groupe au lieu de {SEATS}.")
    until = moment_of(group["holds_until"])
    expect(until.date() == paris(8, 3, 9).date(), f"Les places sont gardées jusqu'au {in_french(until)} au lieu de cinq jours ouvrés.")
    say(f"  Un groupe de {NEEDED} demande tout ou rien : {SEATS} places lui sont gardées, au rang 1, jusqu'au {in_french(until)}.")

    await stage.it_is(paris(8, 3, 9, 30))

    async def offered() -> dict[str, Any] | None:
        found = await stage.read(contact, address)
        return found if found["offer"] else None

    offer = (await stage.until(offered, "Après cinq jours ouvrés, aucune partie des places n'est proposée au groupe."))["offer"]
    expect(offer["seats"] == SEATS, f"{offer['seats']} places sont proposées au lieu de {SEATS}.")
    say(
        f"  Cinq jours ouvrés plus tard, les {SEATS} places lui sont proposées, réponse avant le {in_french(moment_of(offer['deadline']))}."
    )
    say("  " + stage.shown(await stage.mail(contact, f"{SEATS} places sur {NEEDED}")))

    taken = await stage.done(contact, f"{address}/offer/accept")
    expect((taken["state"], taken["seats_unnamed"], taken["rank"]) == ("partly_confirmed", SEATS, 1),
           "Les places acceptées ne sont pas au groupe, ou il a perdu son rang pour les autres.")  # fmt: skip
    say(f"  Sa référente accepte : {SEATS} places sont au groupe, qui garde le rang {taken['rank']} pour les {NEEDED - SEATS} autres.")
