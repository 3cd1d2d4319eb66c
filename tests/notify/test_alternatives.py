"""M3: whoever loses a place with a session that the lab cancelled is told why, and what else they can come to."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared import clock
from shared.bus import Bus, Caller
from shared.contracts.availability import Availability, AvailabilityList, GetAvailability
from shared.contracts.booking import BookingState
from shared.contracts.catalog import SessionState
from shared.database import Database
from shared.requests import Requests, Responder
from shared.settings import Settings
from tests.notify.conftest import Office
from tests.notify.given import Seat, a_session, period, scheduled, session_cancelled
from tests.notify.sink import body, calendars

WHY = "pas assez d'inscriptions, il en fallait 6"
PAGE = "https://lab-o.exemple.invalid/seances/"


@dataclass
class Counters:
    """Booking, as far as it is asked for free seats: every session has ten, unless told otherwise."""

    found: dict[UUID, dict[str, Any]] = field(default_factory=dict[UUID, dict[str, Any]])
    asked: int = 0

    def requests(self) -> Requests:
        requests = Requests()

        @requests.query(GetAvailability)
        async def answer(request: GetAvailability, caller: Caller, database: Database) -> AvailabilityList:
            self.asked += 1
            usual: dict[str, Any] = {"capacity": 10, "held": 0, "waiting": 0}
            return AvailabilityList(
                sessions=tuple(Availability(session_id=each, **usual | self.found.get(each, {})) for each in request.session_ids)
            )

        return requests


@pytest.fixture
async def booking(office: Office, settings_for: Callable[..., Settings]) -> AsyncIterator[Counters]:
    counters, settings = Counters(), settings_for("booking")
    bus = await Bus.connect(settings)
    database = Database.of(settings)
    responder = Responder(bus, database, [counters.requests()])
    await responder.start()
    yield counters
    await responder.drain()
    await bus.close()
    await database.dispose()


def in_days(days: int, **about: Any) -> SessionState:
    day = clock.now() + timedelta(days=days)
    return a_session(None, period(f"{day:%Y-%m-%d} 14:00"), **about)


async def lose(office: Office, lost: SessionState, agent_id: UUID, *sessions: SessionState, waits: bool = False) -> str:
    """The plain text of the mail to an agent whose place ends with that session."""
    seat = Seat(lost, agent_id)
    office.listen()
    await office.publish(*(scheduled(each) for each in (lost, *sessions)), seat.waits() if waits else seat.confirmed())
    await office.consumed()
    ended = seat.left(BookingState.CLOSED, WHY) if waits else seat.cancelled(BookingState.CANCELLED_BY_LAB, f"séance annulée : {WHY}")
    await office.publish(session_cancelled(lost, WHY), ended)
    await office.consumed()
    office.send()
    (mail,) = [each for each in await office.mails(1) if "annulée" in each["subject"]]
    if not waits:
        assert [each["method"] for each in calendars(mail)] in ([], ["CANCEL"])
    for each in proposed(body(mail)):
        assert each in body(mail, "html")
    return body(mail)


def proposed(text: str) -> list[str]:
    return re.findall(rf"{PAGE}\S+", text)


def pages(*sessions: SessionState) -> list[str]:
    return [f"{PAGE}{each.session_id}" for each in sessions]


@pytest.mark.parametrize("waits", [False, True])
async def test_M3_the_mail_says_why_and_proposes_three_sessions_the_same_activity_first(
    office: Office, booking: Counters, waits: bool
) -> None:
    lost = in_days(7)
    of_theme = [in_days(20 + days, activity_id=uuid4(), title="Convaincre") for days in range(3)]
    of_activity = in_days(40)

    text = await lose(office, lost, uuid4(), *of_theme, of_activity, waits=waits)

    assert f"Motif : {WHY}" in text
    assert "Ces séances ont encore des places :" in text
    assert proposed(text) == pages(of_activity, *of_theme[:2])


async def test_M3_only_what_can_be_booked_now_is_proposed(office: Office, booking: Counters) -> None:
    lost = in_days(7)
    full, queued, early, late = (in_days(20 + days) for days in range(4))
    free = in_days(30)
    foreign, private, past = in_days(20, activity_id=uuid4(), theme="autre"), in_days(21, private=True), in_days(-3)
    booking.found = {
        full.session_id: {"held": 10},
        queued.session_id: {"held": 9, "waiting": 1},
        early.session_id: {"opens_at": clock.now() + timedelta(days=1)},
        late.session_id: {"closes_at": clock.now() - timedelta(days=1)},
    }

    text = await lose(office, lost, uuid4(), full, queued, early, late, free, foreign, private, past)

    assert proposed(text) == pages(free)


async def test_M3_nobody_is_proposed_a_session_where_they_have_a_place(office: Office, booking: Counters) -> None:
    lost, theirs, agent_id = in_days(7), in_days(20), uuid4()
    office.listen()
    await office.publish(scheduled(theirs), Seat(theirs, agent_id).confirmed())
    seat = Seat(lost, agent_id)
    await office.publish(scheduled(lost), seat.confirmed())
    await office.consumed()
    await office.publish(session_cancelled(lost, WHY), seat.cancelled(BookingState.CANCELLED_BY_LAB, WHY))
    await office.consumed()
    office.send()

    (mail,) = [each for each in await office.mails(2) if "annulée" in each["subject"]]

    assert proposed(body(mail)) == []
    assert booking.asked == 0


async def test_M3_a_cancellation_does_not_wait_for_what_else_there_is(office: Office) -> None:
    text = await lose(office, in_days(7), uuid4(), in_days(20))

    assert f"Motif : {WHY}" in text
    assert "encore des places" not in text
