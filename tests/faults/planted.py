"""Bugs that others shipped, planted into a real service process at its start. The kernel knows none of them: they are patched over it.

`LABO_PLANTED_BUG` names one; `shared.faults` refuses it everywhere but in an embedded process that a test started.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import asyncpg
from nats.aio.msg import Msg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.mail import claims
from services.notify.settings import NotifySettings
from shared import bus, commits, idempotency, inbox, outbox, relay, service
from shared.consumers import Inlet
from shared.relay import Relay

BUGS: dict[str, Callable[[], None]] = {}


def bug(function: Callable[[], None]) -> Callable[[], None]:
    BUGS[function.__name__] = function
    return function


# --- consumers --------------------------------------------------------------------------------------------------------------------------


@bug
def check_then_insert_inbox() -> None:
    insert = inbox.unseen

    async def unseen(tx: AsyncConnection, consumer: str, event_ids: Sequence[UUID]) -> set[UUID]:
        asked = {"consumer": consumer, "event_ids": list(event_ids)}
        known = await tx.scalars(text("select event_id from inbox where consumer = :consumer and event_id = any(:event_ids)"), asked)
        fresh = set(event_ids) - set(known.all())
        await insert(tx, consumer, event_ids)
        return fresh

    inbox.unseen = unseen


@bug
def missing_unique_key() -> None:
    async def drop() -> None:
        told = NotifySettings()
        connection = await asyncpg.connect(
            host=told.postgres_host, port=told.postgres_port, user=told.service, database=told.postgres_database,
            password=told.postgres_password.get_secret_value(),
        )  # fmt: skip
        await connection.execute("alter table inbox drop constraint if exists inbox_pkey")
        await connection.close()

    asyncio.run(drop())


@bug
def version_gate_lets_the_same_version_pass() -> None:
    inbox._ADVANCE = inbox._ADVANCE.replace("known.version < excluded.version", "known.version <= excluded.version")


@bug
def acknowledged_before_commit() -> None:
    one, many = Inlet.take, Inlet.take_batch

    async def take(self: Inlet, message: Msg) -> None:
        if not message.is_acked:
            await message.ack()
        await one(self, message)

    async def take_batch(self: Inlet, messages: Sequence[Msg]) -> None:
        for message in messages:
            await message.ack()
        await many(self, messages)

    Inlet.take, Inlet.take_batch = take, take_batch


@bug
def default_ack_policy() -> None:
    async def fail(self: Inlet, message: Msg, error: Exception) -> None:
        await message.term()  # FastStream's REJECT_ON_ERROR

    Inlet._fail = fail


# --- outbox and relay ------------------------------------------------------------------------------------------------------------------


@bug
def published_before_commit() -> None:
    connect, write = bus.Bus.connect, outbox.record_each
    connected: list[bus.Bus] = []

    async def connect_and_keep(*arguments: Any, **others: Any) -> bus.Bus:
        connected.append(await connect(*arguments, **others))
        return connected[-1]

    async def record_each(tx: AsyncConnection, facts: Any) -> None:
        await write(tx, facts)
        newest = text("select subject, headers, payload from outbox where xmin = pg_current_xact_id()::xid")
        for row in (await tx.execute(newest)).all():
            await connected[0].client.publish(row.subject, row.payload, headers=dict(row.headers))
        await connected[0].client.flush()

    bus.Bus.connect = connect_and_keep
    outbox.record_each = record_each


@bug
def marked_as_published_before_the_ack() -> None:
    send = Relay._send

    async def send_and_forget(self: Relay, rows: Sequence[relay.Row]) -> None:
        await send(self, rows)
        for row in rows:
            if row.id in self._rows and self._bus.client.is_connected:
                await self._done(row, max(self._highest, 1))

    Relay._send = send_and_forget


@bug
def relay_gives_up_after_some_tries() -> None:
    check = Relay._check_stream
    failures: list[int] = []

    async def check_stream(self: Relay, leader: Any, marker: Any) -> None:
        await check(self, leader, marker)
        failures.append(1) if not self._checked_at else failures.clear()
        if len(failures) >= 3:
            await leader.execute("update outbox set parked_at = now(), last_error = 'retries exhausted' where published_at is null")

    Relay._check_stream = check_stream


@bug
def relay_workers_without_order() -> None:
    """As with several workers and SKIP LOCKED: whoever takes a row sends it, whatever came before."""
    start, end = outbox.READ.index("       (select before.id"), outbox.READ.index("from outbox o\n")
    unordered = outbox.READ[:start] + "       cast(null as bigint) as waits_for\n" + outbox.READ[end:]
    outbox.READ = unordered.replace("order by o.id", "order by hashint8(o.id)")


# --- requests, mail, broker ---------------------------------------------------------------------------------------------------------------


@bug
def key_stored_outside_the_transaction() -> None:
    store, group, single = idempotency.store, commits.run_group, commits.run_command
    later: list[Any] = []

    async def postpone(tx: AsyncConnection, done: Sequence[Any]) -> None:
        later.extend(done)

    async def afterwards(database: Any) -> None:
        kept = list(later)
        later.clear()
        async with database.begin() as tx:
            await store(tx, kept)

    async def run_group(handler: Any, orders: Any, database: Any) -> Any:
        answers = await group(handler, orders, database)
        await afterwards(database)
        return answers

    async def run_command(command: Any, order: Any, database: Any) -> str:
        answer = await single(command, order, database)
        await afterwards(database)
        return answer

    idempotency.store, commits.run_group = postpone, run_group
    from shared import requests

    requests.run_command = run_command


@bug
def mail_sent_again_after_sending() -> None:
    doubt = claims._doubt

    async def retry(tx: AsyncConnection, error: str, which: str, values: Any) -> list[UUID]:
        found = await doubt(tx, error, which, values)
        await tx.execute(text("update mail set state = 'new' where id = any(:ids)"), {"ids": found})
        return found

    claims._doubt = retry


@bug
def client_gives_up_reconnecting() -> None:
    options = bus.connection_options

    def impatient(*arguments: Any) -> dict[str, Any]:
        return options(*arguments) | {"max_reconnect_attempts": 5}

    bus.connection_options = impatient
    setattr(service.Process, "_closed", lambda _: None)  # noqa: B010
