"""`labo sessions`: what a move or a cancellation meant for people, for whoever has to answer for it."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer
from rich.table import Table

from deploy.asking import OPERATOR, AsJson, console, on_bus, print_json
from shared.bus import Bus
from shared.clock import PARIS
from shared.contracts.gateway import GetContact
from shared.contracts.moves import ListPeopleToPhone, PersonToPhone
from shared.contracts.notify import GetSessionReport
from shared.errors import Refused

sessions_app = typer.Typer(no_args_is_help=True, help="Who was told what of a session, and whom to phone.")


@sessions_app.command("report")
def report(
    session_id: UUID,
    *,
    everything: Annotated[bool, typer.Option("--all", help="confirmations and offers too")] = False,
    as_json: AsJson = False,
) -> None:
    """Who was told what and when, of a session that was moved or cancelled. Ids only: names are in the directory."""
    found = on_bus(lambda bus: bus.ask(GetSessionReport(session_id=session_id, everything=everything), OPERATOR))
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    table = Table("recipient", "mail", "state", "when", "why not", box=None, header_style="bold")
    for told in found.told:
        when = (told.sent_at or told.written_at).astimezone(PARIS)
        table.add_row(str(told.recipient_id), told.kind, told.state, f"{when:%Y-%m-%d %H:%M}", told.why or "")
    console.print(table if found.told else "nobody was told of a move or a cancellation")


@sessions_app.command("phone")
def phone(
    session_id: UUID,
    *,
    names: Annotated[bool, typer.Option("--names", help="ask the directory who they are")] = False,
    as_json: AsJson = False,
) -> None:
    """Whom to phone: those whose place ended with a session that was cancelled with less than 48 hours left (M4)."""

    async def ask(bus: Bus) -> list[tuple[PersonToPhone, str]]:
        found = await bus.ask(ListPeopleToPhone(session_id=session_id), OPERATOR)
        return [(person, await _name(bus, person) if names else "") for person in found.people]

    people = on_bus(ask)
    if as_json:
        print_json([person.model_dump(mode="json") | ({"name": name} if names else {}) for person, name in people])
        return
    for person, name in people:
        print(f"{person.agent_id}  {person.booking_id}  {'had a seat' if person.had_seat else 'was waiting'}  {name}".rstrip())
    if not people:
        print("nobody to phone: the session stands, or was cancelled more than 48 hours ahead")


async def _name(bus: Bus, person: PersonToPhone) -> str:
    try:
        contact = await bus.ask(GetContact(agent_id=person.agent_id), OPERATOR)
    except Refused as refusal:
        return f"({refusal.code})"
    return f"{contact.given_name} {contact.usual_name} <{contact.email}>"
