"""`labo`, the operator's command. `./labo --help`, or `python -m deploy.cli`."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Annotated, Any, TypeVar
from uuid import uuid4

import structlog
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy import demo, kept, letters, migrate, topology
from deploy import status as state
from deploy.accounts import TOPOLOGY
from deploy.agents import read_agents
from deploy.embedded import ADMIN_ROLE
from deploy.target import Target, find
from deploy.unprivileged import SetupError
from shared.bus import Caller
from shared.contracts.gateway import IssueDemoToken
from shared.errors import Refused

T = TypeVar("T")
OPERATOR = Caller(actor="operator", roles=frozenset({"operator"}))

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]},
    help="Lab-O for its operators. Commands act on the stack that runs on .labo/ (or LABO_DATA), or on what LABO_SECRETS and LABO_… name.",
)  # fmt: skip
console = Console()

AsJson = Annotated[bool, typer.Option("--json", help="for programs")]
OneService = Annotated[str | None, typer.Argument(help="all of them when left out")]


def group(name: str, text: str) -> typer.Typer:
    added = typer.Typer(no_args_is_help=True, help=text)
    app.add_typer(added, name=name)
    return added


letters_app = group("dead-letters", "Events that a consumer could not take.")
outbox_app = group("outbox", "Events on their way to their streams.")
timers_app = group("timers", "Things to do later that failed for too long.")
clock_app = group("clock", "The demonstration's clock. Refused in production.")
demo_app = group("demo", "The demonstration programme and its people.")
topology_app = group("topology", "Streams and durables of topology.yml.")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def on_database(work: Callable[[AsyncEngine], Awaitable[T]]) -> T:
    """What `work` finds or does in the database, as its owner."""

    async def connected() -> T:
        async with find().database() as engine:
            return await work(engine)

    return run(connected())


def print_json(document: object) -> None:
    print(json.dumps(document, ensure_ascii=False, indent=2, default=str))


@app.command()
def up(*, demonstration: Annotated[bool, typer.Option("--demo/--no-demo", help="load the demonstration programme")] = True) -> None:
    """Start the whole system in this terminal, until Ctrl-C. `make run` does this."""
    from deploy.up import up as start  # noqa: PLC0415 - the other commands need none of it

    raise typer.Exit(run(start(console, demonstration=demonstration)))


@app.command()
def status(*, as_json: AsJson = False) -> None:
    """How it is: services, streams, lag, outbox, dead letters, timers, heartbeats. Exit code 1 when something needs somebody."""
    found = run(state.look(find()))
    if as_json:
        print_json(found.as_json())
    else:
        console.print(state.shown(found))
    raise typer.Exit(0 if found.healthy else 1)


@app.command("migrate")
def migrate_all() -> None:
    """Roles, schemas and tables of all services, brought up to date."""
    target = find()
    secrets = target.secrets
    run(migrate.run(target.settings(ADMIN_ROLE), secrets.all_postgres()))
    print("all schemas are up to date")


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
    table = Table("id", "consumer", "error", "tries", "parked", "closed", box=None, header_style="bold")
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


# --- clock -----------------------------------------------------------------------------------------------------------------------------


@clock_app.command("show")
def show_clock(*, as_json: AsJson = False) -> None:
    """Domain time, and how far it is from real time."""
    offset = on_database(kept.domain_offset)
    if as_json:
        print_json({"domain_time": kept.told(offset), "offset_seconds": offset.total_seconds()})
    else:
        print(f"{kept.told(offset)} in Paris ({offset} from real time)")


@clock_app.command("set")
def set_clock(moment: Annotated[str, typer.Argument(help='"2027-03-12 18:30", in Paris')]) -> None:
    """Make it this moment now; it runs on from there."""
    offset = kept.offset_for(moment)
    run(kept.set_clock(find(), offset))
    print(f"it is {kept.told(offset)} in Paris")


@clock_app.command("shift", context_settings={"ignore_unknown_options": True})
def shift_clock(by: Annotated[str, typer.Argument(help="2d, -1h30min, +45s")]) -> None:
    """Move it by that much."""
    offset = kept.duration(by) + on_database(kept.domain_offset)
    run(kept.set_clock(find(), offset))
    print(f"it is {kept.told(offset)} in Paris")


# --- demonstration ---------------------------------------------------------------------------------------------------------------------


@demo_app.command("load")
def load_demo() -> None:
    """Load the programme, the people, their bookings and projects. A second time changes nothing."""

    async def load(target: Target) -> demo.LoadReport:
        async with target.bus() as bus:
            return await demo.load(bus)

    report = run(load(find()))
    for name, number in report.done.items():
        print(f"{number:6} {name}")
    print(f"{report.as_before:6} had moved on since an earlier load; {len(report.refused)} refused; {report.seconds:.1f} s")
    for refused in report.refused:
        print(f"refused: {refused}", file=sys.stderr)
    raise typer.Exit(report.exit_code)


@demo_app.command("token")
def demo_token(agent: Annotated[str, typer.Argument(help="agent-0001, or a name such as garonne")]) -> None:
    """Print a bearer token for scripts, and nothing else. Embedded stack only."""
    wanted = agent.lower()
    subs = [each.sub for each in read_agents() if wanted in {each.sub, each.given_name.lower(), each.name.lower()}]
    if len(subs) > 1:
        raise SetupError(f"{agent} is not one person only: {', '.join(subs[:8])}")

    async def issue(target: Target) -> str:
        async with target.bus() as bus:
            reply = await bus.ask(IssueDemoToken(sub=subs[0] if subs else agent), replace(OPERATOR, idempotency_key=str(uuid4())))
            return reply.token

    print(run(issue(find())))


@demo_app.command("agents")
def demo_agents() -> None:
    """Who can sign in."""
    table = Table("sub", "name", "org unit", "roles", "who", box=None, header_style="bold")
    for agent in read_agents():
        table.add_row(agent.sub, agent.name, agent.org_unit.code, " ".join(agent.roles), agent.persona or "")
    console.print(table)


# --- topology --------------------------------------------------------------------------------------------------------------------------


async def _differences(target: Target, verb: str) -> list[str]:
    plan = topology.Topology.read("embedded" if target.embedded else "production")
    async with target.nats(TOPOLOGY) as client:
        if verb == "watch":
            await topology.watch(client, plan)
        return await (topology.apply if verb == "apply" else topology.diff)(client, plan)


@topology_app.command("apply")
def apply_topology() -> None:
    """Create or update what the file says."""
    print("\n".join(run(_differences(find(), "apply"))) or "nothing to do")


@topology_app.command("diff")
def diff_topology() -> None:
    """Where server and file differ; exit code 1 when they do."""
    found = run(_differences(find(), "diff"))
    print("\n".join(found) or "server and file agree")
    raise typer.Exit(1 if found else 0)


@topology_app.command("watch")
def watch_topology() -> None:
    """Make again what goes missing, for ever (the embedded stack runs this by itself)."""
    run(_differences(find(), "watch"))


def main() -> None:
    """A refusal is one sentence and exit code 1, never a traceback."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        app()
    except SetupError as stopped:
        sys.exit(f"labo: {stopped}")
    except Refused as refusal:
        sys.exit(f"labo: refused, {refusal.code}: {refusal.detail or refusal.title}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
