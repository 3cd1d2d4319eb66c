"""The whole embedded stack: everything heals, and the operator's command tells the truth about it."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
from sqlalchemy import text

from deploy import status
from deploy.accounts import SERVICES
from deploy.installation import Installation, Ports
from deploy.program import get
from deploy.stack import Stack
from deploy.target import Target
from tests.conftest import eventually
from tests.notify.receiver import Receiver

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300), pytest.mark.xdist_group("stack")]

Answer = subprocess.CompletedProcess[str]
Labo = Callable[..., Awaitable[Answer]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(module_folder: Path) -> AsyncIterator[Stack]:
    async with Stack(Installation(module_folder), Ports.free(), settings={"LABO_WEBHOOKS_TO_LOOPBACK": "true"}) as started:
        yield started


@pytest.fixture
def ask(stack: Stack, labo: Callable[..., Answer]) -> Labo:
    """The command in a thread, since the supervisor lives in this loop."""

    async def call(*arguments: str) -> Answer:
        return await asyncio.to_thread(labo, *arguments, data=stack.installation.folder)

    return call


async def healthy(stack: Stack) -> bool:
    found = await status.look(Target(stack.installation, stack.installation.running()))
    assert found.healthy, found.problems
    return True


async def test_a_started_stack_is_healthy_and_says_so_to_programs(stack: Stack, ask: Labo) -> None:
    await eventually(lambda: healthy(stack), within=30)

    answer = await ask("status", "--json")

    assert answer.returncode == 0, answer.stdout + answer.stderr
    told = json.loads(answer.stdout)
    assert told["healthy"] is True
    assert [(row["name"], row["ready"]) for row in told["services"]] == [(name, True) for name in SERVICES]
    assert {"EVT_BOOKING", "PUBLIC"} <= {row["name"] for row in told["streams"]}
    assert {row["pending"] for row in told["consumers"]} == {0}
    assert [row["service"] for row in told["outbox"]] == list(SERVICES)
    assert {row["name"] for row in told["heartbeats"]} >= {"timers"}
    assert told["domain_time"].startswith("2027-03-01T")


async def test_a_webhook_is_added_tried_and_shown_by_the_command(ask: Labo) -> None:
    async with Receiver().listening() as receiver:
        added = await ask("webhooks", "add", receiver.url, "fr.labo.catalog.session_cancelled.v1")
        webhook_id, secret = (line.split()[-1] for line in added.stdout.splitlines()[:2])

        tried = await ask("webhooks", "test", webhook_id)

        assert tried.returncode == 0, tried.stdout + tried.stderr
        assert receiver.posts[0].verified(secret)["subject"] == webhook_id
    disabled = await ask("webhooks", "disable", webhook_id, "only a try")
    assert disabled.stdout.startswith("disabled "), disabled.stderr
    told = json.loads((await ask("status", "--json")).stdout)
    assert [(row["webhook_id"], row["disabled_reason"]) for row in told["webhooks"]] == [(webhook_id, "only a try")]


async def test_the_demonstration_is_there_and_is_not_loaded_twice(stack: Stack) -> None:
    loads = [line for line in stack.terminal.lines if "demonstration:" in line]
    assert len(loads) == 1
    assert "180 agents" in loads[0]
    assert not [line for line in stack.terminal.lines if "not loaded" in line]

    await stack.load_demonstration()

    assert [line for line in stack.terminal.lines if "demonstration:" in line] == loads


async def test_whatever_is_killed_comes_back_by_itself_and_the_terminal_says_so(stack: Stack) -> None:
    await eventually(lambda: healthy(stack), within=30)
    before = stack.pids
    assert set(before) == {"PostgreSQL", "nats-server", "topology-watch", "mail-catcher", "sign-in", *SERVICES}

    for name in before:
        stack.kill(name)

    await eventually(lambda: set(stack.pids) == set(before) and not set(stack.pids.values()) & set(before.values()), within=60)
    await eventually(lambda: healthy(stack), within=60)
    for name in before:
        assert any(line.startswith(f"{name} was ended by SIGKILL") for line in _told(stack))
        await eventually(lambda name=name: any(line.startswith(f"{name} is back") for line in _told(stack)), within=30)


def _told(stack: Stack) -> list[str]:
    return [line.partition("  ")[2] for line in stack.terminal.lines]


async def test_a_dead_letter_is_listed_shown_replayed_and_discarded(stack: Stack, ask: Labo) -> None:
    good, bad = await _park(stack, "payload"), await _park(stack, "convert_to('not json', 'UTF8')")

    sick = await ask("status")
    assert sick.returncode == 1
    assert "2 dead letters of booking-sessions wait for a decision" in sick.stdout
    listed = json.loads((await ask("dead-letters", "list", "--json")).stdout)
    assert {letter["id"] for letter in listed} == {good, bad}
    shown = json.loads((await ask("dead-letters", "show", good[-12:])).stdout)
    assert shown["headers"]["ce-type"] == "fr.labo.catalog.session_scheduled.v1"
    assert shown["payload"]["version"] == 1

    replayed = await ask("dead-letters", "replay", good)
    assert (replayed.returncode, replayed.stdout.strip()) == (0, f"{good}  booking-sessions  replayed")
    again = await ask("dead-letters", "replay", bad)
    assert again.returncode == 1
    assert "failed again: malformed_message" in again.stdout
    assert (await ask("dead-letters", "discard", bad)).stdout.strip().endswith("discarded")

    closed = json.loads((await ask("dead-letters", "list", "--all", "--json")).stdout)
    assert {letter["id"]: letter["resolution"] for letter in closed} == {good: "replayed", bad: "discarded"}
    await eventually(lambda: healthy(stack), within=30)


async def _park(stack: Stack, payload: str) -> str:
    """A dead letter of booking: a real event of catalog, as it is or with another payload."""
    engine = stack.admin_engine()
    async with engine.begin() as tx:
        letter_id = await tx.scalar(
            text(
                f"""
                insert into booking.dead_letter
                    (consumer, event_id, stream, stream_seq, subject, headers, payload, error_code, error, attempts, first_failed_at)
                select 'booking-sessions', :event_id, 'EVT_CATALOG', coalesce(stream_seq, 1), subject, headers, {payload},
                    'handler_failed', 'planted by a test', 3, clock_timestamp()
                from catalog.outbox where subject like 'evt.catalog.session_scheduled.%' order by id limit 1
                returning id
                """
            ),
            {"event_id": uuid4()},
        )
    await engine.dispose()
    return str(letter_id)


async def test_a_dead_letter_must_be_named_clearly(ask: Labo) -> None:
    assert "name one dead letter by its id, or all open ones with --all" in (await ask("dead-letters", "replay")).stderr
    assert "no dead letters have an id that begins or ends with ffff" in (await ask("dead-letters", "show", "ffff")).stderr


async def test_a_mail_that_a_server_refused_is_listed_and_decided_about(stack: Stack, ask: Labo) -> None:
    async def bounced() -> list[dict[str, Any]]:
        """The demonstration has one such address."""
        return [each for each in json.loads((await ask("mails", "list", "--json")).stdout) if each["state"] == "bounced"]

    (mail, *_) = await eventually(bounced, within=60)
    assert re.search(r"mails to decide about: .*\d bounced.* \(labo mails list\)", (await ask("status")).stdout)

    resolved = await ask("mails", "resolve", mail["mail_id"], "dropped")
    assert (resolved.returncode, resolved.stdout.split()) == (0, [mail["mail_id"], mail["kind"], "dropped"])

    assert mail["mail_id"] not in {each["mail_id"] for each in await bounced()}
    assert "delivery_settled" in (await ask("mails", "resolve", mail["mail_id"], "again")).stderr
    assert "delivery_unknown" in (await ask("mails", "resolve", str(uuid4()), "again")).stderr


async def test_a_refilled_outbox_is_published_again_and_nothing_happens_twice(stack: Stack, ask: Labo) -> None:
    await eventually(lambda: healthy(stack), within=60)
    before, mails = await _known(stack)
    assert mails > 100

    answer = await ask("outbox", "refill", "booking")

    name, number = answer.stdout.split(" events")[0].split(": ")
    assert (name, int(number) > 100) == ("booking", True)

    async def published() -> bool:
        rows = json.loads((await ask("outbox", "status", "--json")).stdout)
        assert {row["unpublished"] for row in rows} == {0}
        return True

    await eventually(published, within=60)
    await eventually(lambda: healthy(stack), within=60)
    assert await _known(stack, before) == (before, mails)
    assert "there is no service bookings" in (await ask("outbox", "refill", "bookings")).stderr


async def _known(stack: Stack, last: int | None = None) -> tuple[int, int]:
    """The last event of booking, and how many mails tell of the events up to there: other mails may leave at any time."""
    engine = stack.admin_engine()
    async with engine.connect() as connection:
        last = last or await connection.scalar(text("select max(id) from booking.outbox"))
        told = text(
            """
            select count(*) from notify.mail
            where exists (
                select from booking.outbox
                where outbox.id <= :last and outbox.aggregate_id = mail.booking_id
                  and split_part(mail.key, '/', 3) = outbox.aggregate_version::text
            )
            """
        )
        number = await connection.scalar(told, {"last": last})
    await engine.dispose()
    return last or 0, int(number or 0)


async def test_a_shifted_clock_reaches_every_process_at_once(stack: Stack, ask: Labo) -> None:
    answer = await ask("clock", "set", "2027-03-12 18:30")
    assert answer.stdout.strip() == "it is Friday 12 March 2027, 18:30 in Paris"

    offset = json.loads((await ask("clock", "show", "--json")).stdout)["offset_seconds"]
    for name in SERVICES:
        await eventually(lambda name=name: abs(_metric(stack, name) - offset) < 1, within=20)
    assert "Saturday 13 March 2027" in (await ask("clock", "shift", "+1d")).stdout
    assert "Friday 12 March 2027" in (await ask("clock", "shift", "-1d")).stdout
    assert "is not a duration" in (await ask("clock", "shift", "tomorrow")).stderr
    assert "is not a moment" in (await ask("clock", "set", "tomorrow")).stderr
    await ask("clock", "set", "2027-03-01 09:00")


def _metric(stack: Stack, name: str) -> float:
    page = httpx2.get(f"http://127.0.0.1:{stack.ports.health[name]}/metrics", trust_env=False).text
    line = next(line for line in page.splitlines() if line.startswith("labo_clock_offset_seconds "))
    return float(line.split()[1])


async def test_a_token_for_scripts_is_printed_alone_and_opens_the_api(stack: Stack, ask: Labo) -> None:
    answer = await ask("demo", "token", "garonne")

    token = answer.stdout.strip()
    assert answer.stdout == f"{token}\n"
    me = httpx2.get(f"{stack.portal_url}/api/v1/me", headers={"Authorization": f"Bearer {token}"}, trust_env=False)
    assert me.status_code == 200, me.text
    assert "agent_unknown" in (await ask("demo", "token", "nobody")).stderr
    assert "is not one person only" in (await ask("demo", "token", "Adour Bouleau")).stderr


async def test_a_second_start_on_the_same_folder_is_refused_and_harms_nothing(stack: Stack, ask: Labo) -> None:
    answer = await ask("up")

    assert answer.returncode == 1
    assert f"Lab-O already runs on {stack.installation.folder}" in answer.stdout
    assert get(stack.ports.health["booking"], "/livez")[0] == 200
    assert (await ask("topology", "diff")).stdout.strip() == "server and file agree"


async def test_what_a_service_calls_an_error_is_told_in_the_terminal_once(stack: Stack) -> None:
    line: dict[str, Any] = {"level": "error", "event": f"planted_{uuid4().hex}", "service": "booking"}
    with stack.installation.log("booking").open("a") as log:
        log.write((json.dumps(line) + "\n") * 3)

    told = await eventually(lambda: [each for each in _told(stack) if line["event"] in each])
    await asyncio.sleep(0.6)

    assert [each for each in _told(stack) if line["event"] in each] == told
    assert told[0] == f"booking reports {line['event']} (details: {stack.installation.log('booking')})"
