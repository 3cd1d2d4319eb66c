"""A group says who comes by the link of its mail; whoever had a seat has one still, and what has no name in time goes on (G2, G3)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from deploy.asking import OPERATOR
from deploy.mailbox import in_french
from deploy.scenes.stage import Stage, expect, link_in, moment_of, paris, say
from shared.contracts.availability import GetAvailability
from shared.contracts.catalog import ActivityType

NEEDED = 4


async def play(stage: Stage) -> None:
    await stage.it_is(paris(1, 3, 9))
    session_id = await stage.session(ActivityType.LABTOUR, "Visite d'un tiers-lieu", paris(16, 3, 14), 12)
    contact, booked, colleague = await stage.people(3)
    await stage.book(booked, session_id)
    group = await stage.done(contact, f"/sessions/{session_id}/groups", {"seats_needed": NEEDED})
    address, due = f"/groups/{group['group_id']}", moment_of(group["names_due_at"])
    expect(due.date() == paris(9, 3, 14).date(), f"Les noms sont attendus avant le {in_french(due)} au lieu de cinq jours ouvrés avant.")
    mail = await stage.mail(contact, f"{NEEDED} places confirmées")
    say(f"  Un groupe a {NEEDED} places, sans noms : sa référente les donne avant le {in_french(due)}, par le lien de son courriel.")
    say("  " + stage.shown(mail))

    page = await stage.portal.post(link_in(mail, "groupe"), data={"adresses": f"{booked.email}\n{colleague.email}"})
    expect(page.status_code == 200, f"La page du groupe n'a pas pris les deux adresses (statut {page.status_code}).")
    group = await stage.read(contact, address)
    expect((group["seats_named"], group["seats_unnamed"]) == (2, 2), "Deux places du groupe n'ont pas reçu de nom.")
    held = await _held(stage, session_id)
    expect(held == NEEDED, f"{held} places sont prises au lieu de {NEEDED} : l'inscrit nommé dans le groupe en a deux.")
    say("  Deux adresses, deux noms. L'un des deux avait déjà sa place : il n'en garde qu'une, l'autre est rendue.")
    say("  " + stage.shown(await stage.mail(colleague, "Inscription confirmée")))

    await stage.it_is(due + timedelta(minutes=30))

    async def released() -> dict[str, Any] | None:
        found = await stage.read(contact, address)
        return found if not found["seats_unnamed"] else None

    group = await stage.until(released, "Les places sans nom sont encore gardées après la date.")
    expect(group["seats_named"] == 2, "Des places qui avaient un nom sont parties avec les autres.")
    say("  La date passée, les deux places sans nom vont à d'autres ; les deux autres ne bougent pas.")
    say("  " + stage.shown(await stage.mail(contact, "2 places rendues")))
    say(f"  À vérifier : {stage.page(session_id)}")


async def _held(stage: Stage, session_id: UUID) -> int:
    return (await stage.bus.ask(GetAvailability(session_ids=(session_id,)), OPERATOR)).sessions[0].held
