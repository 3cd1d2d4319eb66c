"""Messages for kernel tests: the contracts are booking's, the meaning does not matter."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

from sqlalchemy import text

from shared.bus import Caller
from shared.contracts.booking import Booking, BookingConfirmed, BookingState
from shared.contracts.messages import Envelope, Event
from shared.database import Database
from shared.outbox import uuid7

DECIDED_AT = datetime(2027, 3, 1, 8, 0, tzinfo=UTC)


def an_agent(key: str | None = None) -> Caller:
    return Caller(str(uuid4()), frozenset({"agent"}), idempotency_key=key)


def confirmed(booking_id: UUID | None = None, version: int = 1, sequence: int = 1) -> BookingConfirmed:
    return BookingConfirmed(
        version=version, booking_id=booking_id or uuid4(), session_id=uuid4(), agent_id=uuid4(),
        state=BookingState.CONFIRMED, session_sequence=sequence, decided_at=DECIDED_AT,
    )  # fmt: skip


def reply_of(fact: BookingConfirmed) -> Booking:
    return Booking(
        booking_id=fact.booking_id, session_id=fact.session_id, agent_id=fact.agent_id, state=fact.state,
        session_sequence=fact.session_sequence, version=fact.version, booked_at=fact.decided_at,
    )  # fmt: skip


def on_the_wire(event: Event, event_id: UUID | None = None) -> tuple[str, bytes, dict[str, str]]:
    """Subject, body and headers as the relay publishes them, without the id that the stream deduplicates by."""
    headers = Envelope.of(event, event_id=event_id or uuid7(), time=datetime.now(UTC)).headers()
    del headers["Nats-Msg-Id"]
    return f"{event.subject}.{event.aggregate_id}", event.model_dump_json().encode(), headers


async def count(database: Database, query: str) -> int:
    """`count(database, "outbox where published_at is null")`"""
    async with database.connect() as connection:
        return (await connection.execute(text(f"select count(*) from {query}"))).scalar_one()
