"""M3, M5: what catalog makes of a missed quorum, once, and of the day that it was about."""

from __future__ import annotations

from asyncio import gather
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.catalog.activities import queries
from services.catalog.activities.handlers import cancel_session, reschedule_session
from services.catalog.quorum.handlers import events
from shared.consumers import Received, apply
from shared.contracts.catalog import CancelSession, RescheduleSession, SessionState
from shared.contracts.messages import Envelope
from shared.contracts.quorum import SessionQuorumMissed
from shared.database import Database
from shared.inbox import Delivery
from shared.outbox import uuid7
from tests.catalog.givens import DEMONSTRATION, OPERATOR, given_session, local, shift_to, told


@pytest.fixture
async def catalog(database: Any) -> Database:
    shift_to(DEMONSTRATION)
    return await database("catalog")


def missed(session_id: UUID) -> SessionQuorumMissed:
    ids = {"quorum_decision_id": uuid4(), "session_id": session_id}
    return SessionQuorumMissed(version=1, **ids, needed=6, day=date(2027, 3, 18), decided_at=datetime(2027, 3, 11, 8, tzinfo=UTC))


async def hear(catalog: Database, event: SessionQuorumMissed, event_id: UUID | None = None) -> None:
    envelope = Envelope.of(event, event_id=event_id or uuid7(), time=datetime.now(UTC))
    received = Received(event, envelope, Delivery("EVT_BOOKING", 1, f"{event.subject}.{event.aggregate_id}", {}, b""))
    (consumer,) = events.all
    async with catalog.begin() as tx:
        await apply(consumer, received, tx)


async def now_of(catalog: Database, session_id: UUID) -> SessionState:
    async with catalog.connect() as connection:
        found = await queries.read_session(connection, session_id)
    assert found is not None
    return found


async def cancellations(catalog: Database) -> int:
    return [fact for fact, _ in await told(catalog)].count("session_cancelled")


async def test_M3_a_missed_quorum_cancels_the_session_and_says_why(catalog: Database) -> None:
    session = await given_session(catalog, quorum=6)

    await hear(catalog, missed(session.session_id))

    after = await now_of(catalog, session.session_id)
    assert (after.status, after.cancellation_reason) == ("cancelled", "pas assez d'inscriptions, il en fallait 6")


async def test_M5_told_again_or_twice_at_once_it_is_cancelled_once(catalog: Database) -> None:
    session = await given_session(catalog, quorum=6)
    said = missed(session.session_id)

    await gather(*(hear(catalog, said, UUID(int=7)) for _ in range(3)), *(hear(catalog, said) for _ in range(3)))

    assert await cancellations(catalog) == 1


async def test_M5_the_labs_own_cancellation_beside_it_is_the_only_one(catalog: Database) -> None:
    session = await given_session(catalog, quorum=6)

    async def cancel() -> None:
        async with catalog.begin() as tx:
            await cancel_session(CancelSession(session_id=session.session_id, reason="intervenant souffrant"), OPERATOR, tx)

    await gather(cancel(), hear(catalog, missed(session.session_id)))

    assert await cancellations(catalog) == 1


@pytest.mark.parametrize(("day", "status"), [("2027-03-25", "scheduled"), ("2027-03-18", "cancelled")])
async def test_M3_a_session_that_moved_to_another_day_meanwhile_is_not_cancelled(catalog: Database, day: str, status: str) -> None:
    session = await given_session(catalog, quorum=6)
    order = RescheduleSession(session_id=session.session_id, periods=(local(day, "15:00", "17:00"),))
    async with catalog.begin() as tx:
        await reschedule_session(order, OPERATOR, tx)

    await hear(catalog, missed(session.session_id))

    assert (await now_of(catalog, session.session_id)).status == status


async def test_M3_a_session_that_catalog_does_not_know_changes_nothing(catalog: Database) -> None:
    await hear(catalog, missed(uuid4()))

    assert await told(catalog) == []
