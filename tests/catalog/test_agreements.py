"""G5: what catalog makes of agreed requests. Each session id is taken up once, whatever comes first and however often."""

from __future__ import annotations

from asyncio import gather
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel

from services.catalog.activities import queries
from services.catalog.activities.handlers import cancel_session
from services.catalog.agreements.handlers import events, follow_agreement
from shared.consumers import Received, apply
from shared.contracts.catalog import ActivityType, CancelSession, ListSessions, LocalPeriod, SessionState
from shared.contracts.messages import Envelope, Event
from shared.contracts.tailored import RequestState
from shared.contracts.tailored_events import ProposalFact, TailoredRequestAgreed, TailoredRequestHostWithdrew, TailoredRequestWithdrawn
from shared.database import Database
from shared.inbox import Delivery
from shared.outbox import uuid7
from tests.catalog.givens import DEMONSTRATION, OPERATOR, given_activity, given_session, given_venue, local, payloads, shift_to, told

VISIT = local("2027-04-08", "14:00", "16:00")


class Visit(BaseModel):
    """A labtour of the programme and a venue for it."""

    activity_id: UUID
    venue_id: UUID


@pytest.fixture
async def catalog(database: Any) -> Database:
    shift_to(DEMONSTRATION)
    return await database("catalog")


@pytest.fixture
async def visit(catalog: Database) -> Visit:
    activity_id = await given_activity(catalog, activity_type=ActivityType.LABTOUR)
    return Visit(activity_id=activity_id, venue_id=await given_venue(catalog, capacity=12, closed_weekdays=(1,)))


def agreement(visit: Visit, session_id: UUID | None = None, period: LocalPeriod = VISIT, **changed: Any) -> TailoredRequestAgreed:
    content: dict[str, Any] = {"activity_id": visit.activity_id, "venue_id": visit.venue_id, "periods": (period,), "capacity": 6} | changed
    return TailoredRequestAgreed(
        **about(), state=RequestState.AGREED, session_id=session_id or uuid4(), proposal=ProposalFact(proposal_id=uuid4(), **content)
    )


def about() -> dict[str, Any]:
    return {
        "version": 5,
        "tailored_request_id": uuid4(),
        "agent_id": uuid4(),
        "activity_type": ActivityType.LABTOUR,
        "decided_at": DEMONSTRATION,
    }


def withdrawal(agreed: TailoredRequestAgreed) -> TailoredRequestHostWithdrew:
    ids: dict[str, Any] = {
        "tailored_request_id": agreed.tailored_request_id,
        "session_id": agreed.session_id,
        "proposal_id": agreed.proposal.proposal_id,
    }
    return TailoredRequestHostWithdrew(**about() | ids, state=RequestState.PROPOSED)


async def hear(catalog: Database, event: Event, event_id: UUID | None = None) -> None:
    envelope = Envelope.of(event, event_id=event_id or uuid7(), time=datetime.now(UTC))
    received = Received(event, envelope, Delivery("EVT_BOOKING", 1, f"{event.subject}.{event.aggregate_id}", {}, b""))
    (consumer,) = events.all
    async with catalog.begin() as tx:
        await apply(consumer, received, tx)


async def session_of(catalog: Database, session_id: UUID) -> SessionState | None:
    async with catalog.connect() as connection:
        return await queries.read_session(connection, session_id)


async def refusals(catalog: Database) -> list[str]:
    return [each["code"] for each in await payloads(catalog) if "code" in each]


async def listed(catalog: Database) -> list[UUID]:
    async with catalog.connect() as connection:
        return [each.session_id for each in (await queries.list_sessions(connection, ListSessions())).sessions]


async def test_G5_an_agreement_becomes_a_private_session_that_the_programme_does_not_show(catalog: Database, visit: Visit) -> None:
    agreed = agreement(visit)

    await hear(catalog, agreed)

    session = await session_of(catalog, agreed.session_id)
    assert session
    assert (session.private, session.capacity, session.closes_at, session.status) == (True, 6, DEMONSTRATION, "scheduled")
    assert (await payloads(catalog))[-1]["session"]["private"] is True
    public = await given_session(catalog)
    assert await listed(catalog) == [public.session_id]
    assert public.private is False


async def test_an_agreement_that_is_heard_twice_makes_one_session(catalog: Database, visit: Visit) -> None:
    agreed, event_id = agreement(visit), uuid7()

    for same in (event_id, event_id, uuid7()):
        await hear(catalog, agreed, same)

    assert [fact for fact, _ in await told(catalog)].count("session_scheduled") == 1
    assert await refusals(catalog) == []


async def test_G5_a_host_who_withdraws_takes_the_session_along_once(catalog: Database, visit: Visit) -> None:
    agreed = agreement(visit)
    await hear(catalog, agreed)

    for _ in range(2):
        await hear(catalog, withdrawal(agreed))

    session = await session_of(catalog, agreed.session_id)
    assert session
    assert (session.status, session.cancellation_reason) == ("cancelled", "La structure d'accueil s'est désistée.")
    assert [fact for fact, _ in await told(catalog)].count("session_cancelled") == 1


async def test_a_withdrawal_that_overtakes_its_agreement_leaves_no_session(catalog: Database, visit: Visit) -> None:
    agreed = agreement(visit)

    await hear(catalog, withdrawal(agreed))
    await hear(catalog, agreed)

    assert await session_of(catalog, agreed.session_id) is None
    assert "session_scheduled" not in [fact for fact, _ in await told(catalog)]


async def test_an_agreement_and_its_withdrawal_at_once_leave_no_session_that_stands(catalog: Database, visit: Visit) -> None:
    for _ in range(6):
        agreed = agreement(visit)

        await gather(hear(catalog, agreed), hear(catalog, withdrawal(agreed)))

        session = await session_of(catalog, agreed.session_id)
        assert session is None or session.status == "cancelled"


async def test_a_request_that_its_agent_gives_up_takes_its_session_along_and_needs_none(catalog: Database, visit: Visit) -> None:
    agreed = agreement(visit)
    await hear(catalog, agreed)

    await hear(catalog, TailoredRequestWithdrawn(**about(), state=RequestState.WITHDRAWN, session_id=agreed.session_id))
    await hear(catalog, TailoredRequestWithdrawn(**about(), state=RequestState.WITHDRAWN))

    session = await session_of(catalog, agreed.session_id)
    assert session
    assert session.cancellation_reason == "La demande a été retirée."


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"activity_id": UUID(int=1)}, "activity_unknown"),
        ({"venue_id": UUID(int=1)}, "venue_unknown"),
        ({"venue_id": None}, "venue_required"),
        ({"capacity": 13}, "venue_too_small"),
        ({"period": local("2027-04-12", "14:00", "16:00")}, "venue_closed"),  # a Monday
        ({"period": local("2027-02-11", "14:00", "16:00")}, "session_in_past"),
    ],
)
async def test_what_cannot_be_scheduled_is_refused_as_a_fact(catalog: Database, visit: Visit, changed: Any, code: str) -> None:
    agreed = agreement(visit, **changed)

    await hear(catalog, agreed)

    assert await session_of(catalog, agreed.session_id) is None
    last = (await payloads(catalog))[-1]
    assert (last["session_id"], last["code"]) == (str(agreed.session_id), code)
    assert last["reason"]


async def test_a_visit_is_no_date_of_a_training(catalog: Database, visit: Visit) -> None:
    training = await given_activity(catalog)

    await hear(catalog, agreement(visit, activity_id=training))

    assert await refusals(catalog) == ["activity_of_another_type"]


async def test_a_venue_is_taken_by_any_session_that_stands_and_free_again_after_it(catalog: Database, visit: Visit) -> None:
    public = await given_session(catalog, venue_id=visit.venue_id, periods=(VISIT,))
    overlapping, after = local("2027-04-08", "15:30", "17:00"), local("2027-04-08", "16:00", "17:00")

    await hear(catalog, agreement(visit, period=overlapping))
    await hear(catalog, agreement(visit, period=after))
    async with catalog.begin() as tx:
        await cancel_session(CancelSession(session_id=public.session_id, reason="annulée"), OPERATOR, tx)
    await hear(catalog, agreement(visit))

    assert await refusals(catalog) == ["venue_taken"]


async def test_of_agreements_on_one_venue_at_once_one_is_kept_whatever_their_activities(catalog: Database, visit: Visit) -> None:
    activities = [await given_activity(catalog, activity_type=ActivityType.LABTOUR) for _ in range(5)]

    await gather(*(hear(catalog, agreement(visit, activity_id=each)) for each in activities))

    assert await refusals(catalog) == ["venue_taken"] * 4
    assert [fact for fact, _ in await told(catalog)].count("session_scheduled") == 1


async def test_an_effect_that_dies_before_its_commit_is_taken_up_again(catalog: Database, visit: Visit) -> None:
    agreed = agreement(visit)
    envelope = Envelope.of(agreed, event_id=uuid7(), time=datetime.now(UTC))
    received = Received(agreed, envelope, Delivery("EVT_BOOKING", 1, agreed.subject, {}, b""))
    with pytest.raises(ConnectionError):
        async with catalog.begin() as tx:
            await follow_agreement(received, tx)
            raise ConnectionError("the process dies here")

    await hear(catalog, agreed, envelope.id)

    assert await session_of(catalog, agreed.session_id)
