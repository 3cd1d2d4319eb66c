"""What other state systems see: the public programme, and of a private session nothing at all (G4, P4)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from nats.aio.client import Client

from services.gateway.programme import queries
from shared.contracts.availability import SessionAvailabilityChanged
from shared.contracts.catalog import CancelSession, RescheduleSession, SessionCancelled, SessionRescheduled, SessionScheduled
from shared.contracts.messages import Event
from tests.gateway.conftest import OPERATOR, House, add_session
from tests.gateway.given import at
from tests.gateway.test_programme import a_session, counters

Eventually = Callable[..., Awaitable[Any]]
SAID = (SessionScheduled, SessionRescheduled, SessionCancelled, SessionAvailabilityChanged)


async def test_G4_the_public_stream_carries_nothing_of_a_private_session(house: House, admin_nats: Client, eventually: Eventually) -> None:
    await house.start("catalog", "booking")
    private, public = [await add_session(house, private=private) for private in (True, False)]
    for session_id in (private, public):
        await house.bus.ask(RescheduleSession(session_id=session_id, periods=(at("2099-04-02", "09:00", "10:00"),)), OPERATOR)
        await house.bus.ask(CancelSession(session_id=session_id, reason="grève"), OPERATOR)

    async def told(stream: str, session_id: UUID) -> set[str]:
        """Which facts of this session the stream holds."""
        subjects = (await admin_nats.jetstream().stream_info(stream, subjects_filter=">")).state.subjects or {}
        return {subject.split(".")[2] for subject in subjects if str(session_id) in subject}

    async def all_of_both() -> bool:
        inside = [await told(stream, private) for stream in ("EVT_CATALOG", "EVT_BOOKING")]
        return set.union(*inside) == await told("PUBLIC", public) == {event.subject.split(".")[2] for event in SAID}

    await eventually(all_of_both)
    assert await told("PUBLIC", private) == set()

    async def heard_in_the_house() -> bool:
        async with house.database.connect() as connection:
            found = await queries.read_sessions(connection, [private])
        return bool(found) and found[private].cancelled

    await eventually(heard_in_the_house)


def test_G4_every_fact_about_a_session_says_by_its_address_whether_it_is_private() -> None:
    for private in (True, False):
        session = a_session(private=private)
        facts: list[Event] = [
            SessionScheduled(version=1, session_id=session.session_id, session=session),
            SessionRescheduled(
                version=2, session_id=session.session_id, session=session, previous_periods=session.periods, previous_capacity=12
            ),
            SessionCancelled(version=3, session_id=session.session_id, session=session, reason="grève"),
            counters(session, 1, held=0).model_copy(update={"private": private}),
        ]
        for fact in facts:
            assert fact.address == f"{fact.subject}.{session.session_id}" + (".private" if private else "")
            assert fact.heard() == f"{fact.subject}.>"
            assert fact.is_private is private


def test_G4_no_event_that_holds_a_session_forgets_to_say_whether_it_is_private() -> None:
    holding = [event for event in Event.registry.values() if "session" in event.model_fields or "private" in event.model_fields]

    assert set(SAID) <= set(holding)
    assert [event for event in holding if not event.heard().endswith(".>")] == []
