"""`labo`, the operator's command. `./labo --help`, or `python -m deploy.cli`."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from typing import Annotated
from uuid import uuid4

import structlog
import typer
from rich.markup import escape
from rich.table import Table

from deploy import demo, kept, migrate, topology
from deploy import status as state
from deploy.accounts import TOPOLOGY
from deploy.agents import read_agents
from deploy.asking import OPERATOR, AsJson, console, on_bus, on_database, print_json, run
from deploy.certificates import certificates_app
from deploy.cli_kept import letters_app, mails_app, outbox_app, timers_app
from deploy.cli_sessions import sessions_app
from deploy.cli_webhooks import webhooks_app
from deploy.embedded import ADMIN_ROLE
from deploy.scenes.show import show
from deploy.target import Target, find
from deploy.unprivileged import SetupError
from shared.contracts.gateway import IssueDemoToken, ListDemand
from shared.errors import Refused

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]},
    help="Lab-O for its operators. Commands act on the stack that runs on .labo/ (or LABO_DATA), or on what LABO_SECRETS and LABO_… name.",
)  # fmt: skip


def group(name: str, text: str) -> typer.Typer:
    added = typer.Typer(no_args_is_help=True, help=text)
    app.add_typer(added, name=name)
    return added


app.add_typer(letters_app, name="dead-letters")
app.add_typer(outbox_app, name="outbox")
app.add_typer(timers_app, name="timers")
app.add_typer(mails_app, name="mails")
app.add_typer(certificates_app, name="certificates")
app.add_typer(sessions_app, name="sessions")
app.add_typer(webhooks_app, name="webhooks")
clock_app = group("clock", "The demonstration's clock. Refused in production.")
demo_app = group("demo", "The demonstration programme and its people.")
topology_app = group("topology", "Streams and durables of topology.yml.")


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


@app.command()
def demand(*, days: Annotated[int, typer.Option(help="how far back")] = 90, as_json: AsJson = False) -> None:
    """What was searched in the programme and not found, the most wanted first."""
    found = on_bus(lambda bus: bus.ask(ListDemand(days=days), OPERATOR))
    if as_json:
        print(found.model_dump_json(indent=2))
        return
    table = Table("words", "activity", "format", "département", "theme", "searches", "full", "last", box=None, header_style="bold")
    for line in found.lines:
        said = [str(value or "") for value in line.wanted.model_dump(mode="json").values()]
        table.add_row(*map(escape, said), str(line.searches or "< 5"), str(line.hidden), f"{line.last_heard_at:%Y-%m-%d}")
    console.print(table if found.lines else "nothing was searched in vain")


# --- demonstration ---------------------------------------------------------------------------------------------------------------------


@demo_app.command("load")
def load_demo() -> None:
    """Load the programme, the people, their bookings and projects. A second time changes nothing."""
    report = on_bus(demo.load)
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

    order = IssueDemoToken(sub=subs[0] if subs else agent)
    print(on_bus(lambda bus: bus.ask(order, replace(OPERATOR, idempotency_key=str(uuid4())))).token)


@demo_app.command("show")
def show_demo() -> None:
    """Play the scenes that show what Lab-O promises, in French, on the running stack. Exit code 1 when one does not come out."""
    raise typer.Exit(0 if run(show(find())) else 1)


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
        app(prog_name="labo")
    except SetupError as stopped:
        sys.exit(f"labo: {stopped}")
    except Refused as refusal:
        sys.exit(f"labo: refused, {refusal.code}: {refusal.detail or refusal.title}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
