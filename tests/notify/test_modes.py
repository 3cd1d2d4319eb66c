"""What is said to whoever follows a hybrid session at a distance: no place, and one calendar entry that changes in place (B9, K1, E3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from services.notify.feeds import store as feeds
from shared.contracts.booking import BookingConfirmed, BookingState
from shared.contracts.catalog import DeliveryMode
from shared.contracts.feedback import FeedbackRequested, Survey
from shared.contracts.modes import BookingModeChanged
from tests.notify.conftest import Office
from tests.notify.given import HALL, LIBRARY, Seat, a_session, changed, rescheduled, scheduled
from tests.notify.sink import body, entries

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)


class Followed(Seat):
    def at_a_distance(self) -> BookingConfirmed:
        return BookingConfirmed(**self._next(BookingState.CONFIRMED), remote=True)

    def moved(self, *, remote: bool) -> BookingModeChanged:
        return BookingModeChanged(**self._next(BookingState.CONFIRMED), remote=remote)


def surveyed(seat: BookingConfirmed) -> FeedbackRequested:
    asked = seat.model_dump(include={"booking_id", "session_id", "agent_id"})
    return FeedbackRequested(**asked, version=1, invitation_id=uuid4(), survey=Survey.HOT, open_until=NOON + timedelta(days=30))


async def test_B9_a_place_at_a_distance_is_told_without_the_room(office: Office) -> None:
    office.listen()
    session = a_session(delivery_mode=DeliveryMode.HYBRID, remote_capacity=20)
    await office.publish(scheduled(session), Followed(session, uuid4()).at_a_distance())
    await office.consumed()
    office.send()

    (mail,) = await office.mails(1)

    text = body(mail)
    assert "À distance, en visioconférence" in text
    assert HALL.name not in text
    assert [str(entry["LOCATION"]) for entry in entries(mail)] == ["À distance"]


async def test_B9_a_change_of_mode_updates_the_entry_in_place_and_the_feed(office: Office) -> None:
    office.listen()
    session, agent_id = a_session(delivery_mode=DeliveryMode.HYBRID, remote_capacity=20), uuid4()
    seat = Followed(session, agent_id)
    await office.publish(scheduled(session), seat.confirmed())
    await office.consumed()
    office.send()
    (first,) = await office.mails(1)

    await office.publish(seat.moved(remote=True))
    await office.consumed()
    second = (await office.mails(2))[1]

    assert str(second["Subject"]).startswith("À distance")
    assert "que vous aviez dans la salle passe aux agents suivants" in body(second).replace("\n", " ")
    (before,), (after,) = entries(first), entries(second)
    assert (before["UID"], str(after["LOCATION"])) == (after["UID"], "À distance")
    assert int(str(after["SEQUENCE"])) > int(str(before["SEQUENCE"]))
    async with office.database.connect() as connection:
        (kept,) = await feeds.seats(connection, agent_id)
    assert kept.session.venue is None


async def test_B9_who_followed_at_a_distance_is_asked_about_no_room(office: Office) -> None:
    office.listen()
    session = a_session(delivery_mode=DeliveryMode.HYBRID, remote_capacity=20)
    here, there = Seat(session, uuid4()).confirmed(), Followed(session, uuid4()).at_a_distance()
    await office.publish(scheduled(session), here, there)
    await office.consumed()
    office.send()
    await office.mails(2)

    await office.publish(*(surveyed(seat) for seat in (here, there)))
    await office.consumed()

    told = {str(mail["To"]): body(mail) for mail in (await office.mails(4))[2:]}
    assert sorted(HALL.name in text for text in told.values()) == [False, True]


async def test_E3_who_changes_their_mind_at_once_reads_the_last_word_alone(office: Office) -> None:
    office.listen()
    session = a_session(delivery_mode=DeliveryMode.HYBRID, remote_capacity=20)
    seat = Followed(session, uuid4())
    await office.publish(scheduled(session), seat.confirmed(), seat.moved(remote=True), seat.moved(remote=False))
    await office.consumed()
    office.send()

    await office.quiet()

    assert sorted(await office.states()) == [("booking_confirmed", "sent"), ("mode_changed", "dropped"), ("mode_changed", "sent")]


async def test_M1_another_room_is_not_told_to_who_comes_to_none(office: Office) -> None:
    office.listen()
    session = a_session(delivery_mode=DeliveryMode.HYBRID, remote_capacity=20)
    await office.publish(scheduled(session), Followed(session, uuid4()).at_a_distance(), Seat(session, uuid4()).confirmed())
    await office.consumed()
    office.send()
    await office.mails(2)

    await office.publish(rescheduled(session, changed(session, venue=LIBRARY)))
    await office.consumed()
    await office.quiet()

    told = sorted(state for kind, state in await office.states() if kind == "session_moved")
    assert told == ["dropped", "sent"]
