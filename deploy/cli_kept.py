"""`labo dead-letters`, `labo outbox`, `labo timers`, `labo mails`: what services keep for an operator to decide about."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from uuid import UUID, uuid4

import typer
from rich.markup import escape
from rich.table import Column, Table
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy import bounces, kept, letters
from deploy import status as state
from deploy.asking import OPERATOR, AsJson, console, on_bus, on_database, print_json, run
from deploy.target import find
from deploy.unprivileged import SetupError
from shared.bus import Bus
from shared.contracts.bounces import ReportBounce
from shared.contracts.notify import Delivery, ListDeliveries, MailState, ResolveDelivery

letters_app = typer.Typer(no_args_is_help=True, help="Events that a consumer could not take.")
outbox_app = typer.Typer(no_args_is_help=True, help="Events on their way to their streams.")
timers_app = typer.Typer(no_args_is_help=True, help="Things to do later that failed for too long.")
mails_app = typer.Typer(no_args_is_help=True, help="Mails of which nobody can know, or that a server refused.")

OneService = Annotated[str | None, typer.Argument(help="all of them when left out")]


# --- dead letters ----------------------------------------------------------------------------------------------------------------------


@letters_app.command("list")
def list_letters(
    *, everything: Annotated[bool, typer.Option("--all", help="the closed ones too")] = False, as_json: AsJson = False
) -> None:
    """The open ones, oldest first."""
    found = on_database(lambda engine: letters.read(engine, resolved=everything))
    if as_json:
        print_json([letter.as_json() for letter in found])
        return
    table = Table(Column("id", no_wrap=True), "consumer", "error", "tries", "parked", "closed", box=None, header_style="bold")
    for letter in found:
        row = letter.row
        table.add_row(
            str(letter.id), row["consumer"], escape(row["error_code"]), str(row["attempts"]), f"{row['parked_at']:%Y-%m-%d %H:%M}",
            row["resolution"] or "",
        )  # fmt: skip
    console.print(table if found else "no dead letters")


@letters_app.command("show")
def show_letter(letter_id: str) -> None:
    """Everything about one: why it was parked, headers, payload. The id may be shortened."""
    print_json(on_database(lambda engine: letters.one(engine, letter_id)).as_json())


@letters_app.command("replay")
def replay_letters(
    letter_id: Annotated[str | None, typer.Argument(help="or --all")] = None, *, every: Annotated[bool, typer.Option("--all")] = False
) -> None:
    """Give it to its consumer once more. What fails again stays open, and says why."""

    async def replay(engine: AsyncEngine) -> int:
        failures = 0
        for letter in await _chosen(engine, letter_id, every=every):
            failure = await letters.replay(engine, letter)
            failures += failure is not None
            print(f"{letter.id}  {letter.row['consumer']}  {'replayed' if failure is None else 'failed again: ' + failure}")
        return failures

    raise typer.Exit(1 if on_database(replay) else 0)


@letters_app.command("discard")
def discard_letters(
    letter_id: Annotated[str | None, typer.Argument(help="or --all")] = None, *, every: Annotated[bool, typer.Option("--all")] = False
) -> None:
    """Close it without its effect. It stays readable with `list --all`."""

    async def discard(engine: AsyncEngine) -> None:
        for letter in await _chosen(engine, letter_id, every=every):
            closed = await letters.discard(engine, letter)
            print(f"{letter.id}  {letter.row['consumer']}  {'discarded' if closed else 'was closed already'}")

    on_database(discard)


async def _chosen(engine: AsyncEngine, letter_id: str | None, *, every: bool) -> list[letters.Letter]:
    if (letter_id is None) == (not every):
        raise SetupError("name one dead letter by its id, or all open ones with --all")
    return await letters.read(engine) if letter_id is None else [await letters.one(engine, letter_id)]


# --- outbox, timers --------------------------------------------------------------------------------------------------------------------


@outbox_app.command("status")
def outbox_status(*, as_json: AsJson = False) -> None:
    """Unpublished events, the age of the oldest, and parked ones."""
    found = run(state.look(find())).outbox
    if as_json:
        print_json(found)
        return
    table = Table("service", "unpublished", "oldest", "parked", box=None, header_style="bold")
    for row in found:
        table.add_row(row["service"], str(row["unpublished"]), state.age(row["oldest_seconds"]), str(row["parked"]))
    console.print(table)


@outbox_app.command("refill")
def outbox_refill(service: OneService = None, *, since: Annotated[int, typer.Option(help="first sequence of the stream")] = 0) -> None:
    """Publish events again, with the same ids: consumers know those they have seen. A stream that lost events is refilled without this."""
    services = kept.named(service)
    for name, number in on_database(lambda engine: kept.refill(engine, services, since)).items():
        print(f"{name}: {number} events will be published again")


@outbox_app.command("release")
def outbox_release(service: OneService = None) -> None:
    """Try parked events again, once what the stream refused them for is mended."""
    services = kept.named(service)
    for name, number in on_database(lambda engine: kept.release_outbox(engine, services)).items():
        print(f"{name}: {number} events released")


@timers_app.command("list")
def list_timers(*, as_json: AsJson = False) -> None:
    """Parked timers and their last error."""
    found = on_database(kept.parked_timers)
    if as_json:
        print_json(found)
        return
    table = Table("service", "key", "kind", "due", "tries", "error", box=None, header_style="bold")
    for row in found:
        due = f"{row['due_at']:%Y-%m-%d %H:%M}"
        table.add_row(row["service"], row["key"], row["kind"], due, str(row["attempts"]), escape(row["last_error"] or ""))
    console.print(table if found else "no parked timers")


@timers_app.command("release")
def release_timers(key: Annotated[str | None, typer.Argument(help="all parked ones when left out")] = None) -> None:
    """Let parked timers fire again, with new patience."""
    released = on_database(lambda engine: kept.release_timers(engine, kept.named(None), key))
    print(f"{sum(released.values())} timers released")


# --- mails -----------------------------------------------------------------------------------------------------------------------------


class Resolution(StrEnum):
    SENT, AGAIN, DROPPED = "sent", "again", "dropped"


@mails_app.command("list")
def list_mails(*, as_json: AsJson = False) -> None:
    """Those that wait for a decision: uncertain, failed, bounced; the newest 200 of each."""

    async def ask(bus: Bus) -> list[Delivery]:
        states: tuple[MailState, ...] = ("uncertain", "failed", "bounced")
        lists = [await bus.ask(ListDeliveries(state=each, limit=200), OPERATOR) for each in states]
        return [delivery for found in lists for delivery in found.deliveries]

    found = on_bus(ask)
    if as_json:
        print_json([delivery.model_dump(mode="json") for delivery in found])
        return
    for delivery in found:
        print(f"{delivery.mail_id}  {delivery.state}  {delivery.kind}  {delivery.created_at:%Y-%m-%d %H:%M}\n  {delivery.last_error or ''}")
    if not found:
        print("no mail waits for a decision")


@mails_app.command("resolve")
def resolve_mail(
    mail_id: UUID,
    resolution: Annotated[Resolution, typer.Argument(help="sent: the mail server has it; again: try once more")],
) -> None:
    """Decide about one. Nothing else ever sends an uncertain mail again."""
    order = ResolveDelivery(mail_id=mail_id, resolution=resolution.value)
    done = on_bus(lambda bus: bus.ask(order, replace(OPERATOR, idempotency_key=str(uuid4()))))
    print(f"{done.mail_id}  {done.kind}  {done.state}")


@mails_app.command("bounce")
def report_bounces(
    mailbox_file: Annotated[Path, typer.Argument(help="one mail (.eml), or a mailbox (mbox), of the reply address")],
) -> None:
    """Tell notify of the mails that came back (RFC 3464). The rest of a mailbox is passed over; reading it twice changes nothing."""
    reports = bounces.reports_in(mailbox_file)

    async def tell(bus: Bus) -> Counter[str]:
        found: Counter[str] = Counter()
        for report in reports:
            noted = await bus.ask(ReportBounce(report=report), replace(OPERATOR, idempotency_key=str(uuid4())))
            found[noted.verdict] += 1
        return found

    for verdict, number in sorted(on_bus(tell).items()):
        print(f"{verdict}  {number}")
