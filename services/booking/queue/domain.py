"""The one queue of agents and groups: who is served with the seats that come free, and what a group that needs more of them does (W1, W6).

Pure. The session under its row lock is that of `seats`; it counts a group's seats in `held`, and the group as one in `waiting`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from services.booking.agenda.domain import Agenda
from services.booking.deadlines.domain import IsHoliday, in_french, offer_deadline, working_days_after
from services.booking.seats.domain import Session
from shared.contracts.booking import Booking, SeatOfferMade, WaitlistPromoted
from shared.contracts.groups import (
    GroupBooking,
    GroupBookingBypassed,
    GroupBookingConfirmed,
    GroupChoice,
    GroupEvent,
    GroupOffer,
    GroupSeatsHeld,
    GroupSeatsOffered,
    GroupState,
)
from shared.errors import Refused

GATHERING_DAYS = 5
LAST_WEEK = timedelta(days=7)

Waiting = Booking | GroupBooking
Served = WaitlistPromoted | SeatOfferMade | GroupEvent


class GroupOfferUnknown(Refused):
    code, status = "group_offer_unknown", 404
    title = "Aucune proposition n'attend de réponse pour ce groupe."


class GroupOfferExpired(Refused):
    code, status = "group_offer_expired", 410
    title = "Le délai pour répondre est passé : les places sont allées aux suivants. Le groupe garde son rang."


@dataclass(frozen=True, slots=True)
class Moment:
    """When seats are shared out, and what made them free, in the words that people will read (W5)."""

    now: datetime
    is_holiday: IsHoliday
    because: str = "place libérée"
    agenda_of: Callable[[UUID], Agenda | None] = lambda _: None
    """What an agent already has; whoever it is not known of is asked, never promoted (B5)."""

    def reason(self, rank: int) -> str:
        return f"rang {rank}, {self.because} le {in_french(self.now)}"


def in_turn(agents: Sequence[Booking], groups: Sequence[GroupBooking]) -> Sequence[Waiting]:
    """Those with a priority token, then everybody by the number of the decision that put them there (W1)."""
    return sorted([*agents, *groups], key=lambda each: (isinstance(each, GroupBooking) or not each.priority, each.session_sequence))


def share(session: Session, queue: Sequence[Waiting], moment: Moment, *, fitting: bool = False) -> Iterator[Served]:
    """Free seats for those who wait, in their order (W1). A group that needs more than there are keeps them all (W6).

    `fitting`: a group passed the seats on, and they go to the next that fit; each group that does not is told.
    """
    for rank, entry in enumerate(queue, start=1):
        if not (free := session.servable(moment.now)):
            return
        if fitting and isinstance(entry, GroupBooking) and not _fits(entry, free):
            yield bypass(session, entry, free, moment.now)
        elif isinstance(entry, Booking):
            yield session.serve(entry, rank, moment.because, moment.now, moment.is_holiday, moment.agenda_of(entry.agent_id))
        else:
            yield from _fill(session, entry, free, rank, moment)


def bypass(session: Session, group: GroupBooking, free: int, now: datetime) -> GroupBookingBypassed:
    """Seats that another group passed on are too few for this one: they go to those behind, or to whoever comes."""
    reason = f"{seats_in_words(free)}, trop peu pour le groupe : aux suivants le {in_french(now)}"
    return GroupBookingBypassed(**next_of(session, group, now), seats_passed=free, reason=reason)


def _fits(group: GroupBooking, free: int) -> bool:
    return group.choice is GroupChoice.PARTIAL or group.seats_awaited - group.seats_held <= free


def _fill(session: Session, group: GroupBooking, free: int, rank: int, moment: Moment) -> Iterator[GroupEvent]:
    """All that it lacks, with what was passed on if that makes it whole; or a part, given or kept as it chose (G1)."""
    lacking = group.seats_awaited - group.seats_held
    if lacking <= free + session.passed or group.choice is GroupChoice.PARTIAL:
        more = min(lacking, free + session.passed)
        session.passed -= max(0, more - free)
        yield give(session, group, more, moment.now, moment.reason(rank))
        return
    held = _hold(session, group, free, moment, moment.reason(rank))
    yield held
    if held.holds_until <= moment.now and group.offer is None:
        yield offer_what_is_held(session, changed(group, held), moment)


def _hold(session: Session, group: GroupBooking, free: int, moment: Moment, reason: str) -> GroupSeatsHeld:
    gathered = working_days_after(moment.now, GATHERING_DAYS, moment.is_holiday)
    holds_until = group.holds_until or min(gathered, session.starts_at - LAST_WEEK)
    session.held += free
    said = next_of(session, group, moment.now, seats_held=group.seats_held + free)
    return GroupSeatsHeld(**said, seats_added=free, holds_until=holds_until, reason=reason)


def give(session: Session, group: GroupBooking, more: int, now: datetime, reason: str) -> GroupBookingConfirmed:
    """What was kept, and `more` of what is free, becomes the group's."""
    session.held += more
    added = group.seats_held + more
    awaited = group.seats_awaited - added
    if not awaited:
        leave(session)
    said = next_of(session, group, now, seats_unnamed=group.seats_unnamed + added, seats_awaited=awaited, seats_held=0)
    return GroupBookingConfirmed(**said, choice=group.choice, seats_added=added, reason=reason)


def leave(session: Session) -> None:
    session.waiting -= 1
    if not session.waiting:
        session.passed = 0


# --- a part of the seats, and the contact's answer -----------------------------------------------------------------------------------


def offer_what_is_held(session: Session, group: GroupBooking, moment: Moment) -> GroupSeatsOffered:
    """No more came in time: the contact is asked about what there is (W6)."""
    now = moment.now
    deadline = offer_deadline(now, session.starts_at, session.milestones.offers_until, moment.is_holiday)
    return GroupSeatsOffered(**next_of(session, group, now), deadline=deadline, reason=group.reason or "")


def accept(session: Session, group: GroupBooking, now: datetime) -> GroupBookingConfirmed:
    """What is kept becomes the group's; for the rest it stays where it is in the queue."""
    _must_await_answer(session, group, now)
    return give(session, group, 0, now, group.reason or "")


def decline(session: Session, group: GroupBooking, now: datetime) -> GroupBookingBypassed:
    _must_await_answer(session, group, now)
    return pass_on(session, group, f"{seats_in_words(group.seats_held)} laissées aux suivants le {in_french(now)}", now)


def expire(session: Session, group: GroupBooking, now: datetime) -> GroupBookingBypassed:
    """No answer is no."""
    return pass_on(session, group, f"{seats_in_words(group.seats_held)} proposées sans réponse : aux suivants le {in_french(now)}", now)


def pass_on(session: Session, group: GroupBooking, reason: str, now: datetime) -> GroupBookingBypassed:
    """The seats that were kept are free, for anybody but this group."""
    session.held -= group.seats_held
    return GroupBookingBypassed(**next_of(session, group, now, seats_held=0), seats_passed=group.seats_held, reason=reason)


def share_what_was_passed_on(session: Session, behind: Sequence[Waiting], moment: Moment) -> Iterator[Served]:
    """To the next that fit; what nobody in the queue can use is for whoever comes."""
    yield from share(session, behind, moment, fitting=True)
    session.passed += session.servable(moment.now)


def bring_forward(session: Session, group: GroupBooking, moment: Moment) -> GroupEvent | None:
    """What becomes of the seats that are kept when the session moved: none is kept past the new cut-off (W4)."""
    until = session.milestones.offers_until
    if not group.seats_held:
        return None
    if until <= moment.now:
        return pass_on(session, group, "la séance a été avancée", moment.now)
    if group.offer:
        if group.offer.deadline <= until:
            return None
        return GroupSeatsOffered(**next_of(session, group, moment.now), deadline=until, reason=group.reason or "")
    last = session.starts_at - LAST_WEEK
    if group.holds_until is None or group.holds_until <= last:
        return None
    return GroupSeatsHeld(**next_of(session, group, moment.now), seats_added=0, holds_until=last, reason=group.reason or "")


def _must_await_answer(session: Session, group: GroupBooking, now: datetime) -> None:
    if group.offer is None:
        raise GroupOfferUnknown(f"group {group.group_id} has no offer")
    if now >= group.offer.deadline:
        raise GroupOfferExpired(f"the offer of {group.group_id} ended", session_id=str(session.session_id))
    session.must_be_ahead(now)


# --- a group and its facts ------------------------------------------------------------------------------------------------------------


def next_of(session: Session, group: GroupBooking, now: datetime, **seats: int) -> dict[str, Any]:
    """What every later fact of a group says, with the seats that it changes."""
    over = group.model_copy(update=seats)
    return {
        "version": group.version + 1,
        "group_id": group.group_id,
        "session_id": session.session_id,
        "contact_agent_id": group.contact_agent_id,
        "state": state_of(over.seats_unnamed + over.seats_named, over.seats_awaited),
        "seats_needed": over.seats_needed,
        "seats_unnamed": over.seats_unnamed,
        "seats_awaited": over.seats_awaited,
        "seats_held": over.seats_held,
        "session_sequence": session.next_sequence(),
        "decided_at": now,
    }


def changed(group: GroupBooking, fact: GroupEvent) -> GroupBooking:
    """A group after another fact of its life."""
    over: dict[str, Any] = fact.model_dump(include={"seats_needed", "seats_unnamed", "seats_awaited", "seats_held", "version"})
    over |= {"state": fact.state, "rank": None, "waiting": None, "reason": fact.reason or None}
    return group.model_copy(update=over | {"offer": offer_after(group, fact), "holds_until": holds_until_after(group, fact)})


def offer_after(group: GroupBooking, fact: GroupEvent) -> GroupOffer | None:
    if not fact.seats_held:
        return None
    if isinstance(fact, GroupSeatsOffered):
        offered_at = group.offer.offered_at if group.offer else fact.decided_at
        return GroupOffer(seats=fact.seats_held, deadline=fact.deadline, offered_at=offered_at)
    return group.offer and group.offer.model_copy(update={"seats": fact.seats_held})


def holds_until_after(group: GroupBooking, fact: GroupEvent) -> datetime | None:
    if not fact.seats_held:
        return None
    return fact.holds_until if isinstance(fact, GroupSeatsHeld) else group.holds_until


def state_of(given: int, awaited: int) -> GroupState:
    if not awaited:
        return GroupState.CONFIRMED
    return GroupState.PARTLY_CONFIRMED if given else GroupState.WAITING


def seats_in_words(number: int) -> str:
    return f"{number} place{'s' if number > 1 else ''}"
