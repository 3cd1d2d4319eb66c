"""Rules of activities, venues and sessions: state and clock in, an event out or a refusal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.catalog.quotas.domain import check_quota
from shared.contracts.catalog import (
    ActivityPublished,
    ActivityType,
    DeliveryMode,
    DraftActivity,
    LocalPeriod,
    Period,
    RescheduleSession,
    ScheduleSession,
    SessionCancelled,
    SessionRescheduled,
    SessionScheduled,
    SessionState,
    VenueSheet,
)
from shared.contracts.details import ActivityDetails, LabtourDetails, WorkshopSupportDetails
from shared.errors import NotAllowed, Refused, VersionConflict

LAB = frozenset({"operator", "lab_team"})
YEARS = range(2000, 2101)  # outside, a typing error rather than a date; also what every consumer's calendar can hold


class HostExists(Refused):
    code, title = "host_exists", "Une autre structure porte déjà cet identifiant."


class HostUnknown(Refused):
    code, status, title = "host_unknown", 404, "Cette structure d'accueil n'existe pas."


class VenueExists(Refused):
    code, title = "venue_exists", "Un autre lieu porte déjà cet identifiant."


class VenueUnknown(Refused):
    code, status, title = "venue_unknown", 404, "Ce lieu n'existe pas."


class ActivityExists(Refused):
    code, title = "activity_exists", "Une autre activité porte déjà cet identifiant."


class ActivityUnknown(Refused):
    code, status, title = "activity_unknown", 404, "Cette activité n'existe pas."


class ActivityNotPublished(Refused):
    code, title = "activity_not_published", "Cette activité est encore un brouillon : publiez-la avant de lui donner une date."


class ActivityIsArchived(Refused):
    code, title = "activity_is_archived", "Cette activité est archivée."


class ActivityAlreadyPublished(Refused):
    code, title = "activity_already_published", "Cette activité est déjà publiée."


class DetailsOfAnotherType(Refused):
    code, status, title = "details_of_another_type", 422, "Ces précisions sont celles d'un autre type d'activité."


class GroupSizeInverted(Refused):
    code, status, title = "group_size_inverted", 422, "Le groupe le plus petit dépasse le plus grand."


class SessionExists(Refused):
    code, title = "session_exists", "Une autre séance porte déjà cet identifiant."


class SessionUnknown(Refused):
    code, status, title = "session_unknown", 404, "Cette séance n'existe pas."


class SessionIsCancelled(Refused):
    code, title = "session_is_cancelled", "Cette séance est annulée."


class SessionInPast(Refused):
    code, title = "session_in_past", "Cette date est déjà passée."


class NothingChanged(Refused):
    code, title = "nothing_changed", "La séance a déjà ces dates, ce lieu et ces places."


class PeriodsInvalid(Refused):
    code, status, title = "periods_invalid", 422, "Ces horaires ne conviennent pas : vérifiez leur ordre, leurs heures et leur fuseau."


class VenueRequired(Refused):
    code, status, title = "venue_required", 422, "Une séance en présence a besoin d'un lieu."


class VenueUnexpected(Refused):
    code, status, title = "venue_unexpected", 422, "Une séance à distance n'a pas de lieu."


class VenueTooSmall(Refused):
    code, title = "venue_too_small", "Ce lieu a moins de places que la séance."


class VenueClosed(Refused):
    code, title = "venue_closed", "Ce lieu est fermé ce jour-là."


class VenueNeedsNotice(Refused):
    """Travels with `notice_days`."""

    code, title = "venue_needs_notice", "Ce lieu demande à être prévenu plus tôt."


class QuorumTooHigh(Refused):
    code, status, title = "quorum_too_high", 422, "Le quorum dépasse le nombre de places."


class RemoteCapacityUnexpected(Refused):
    code, status, title = "remote_capacity_unexpected", 422, "Seule une séance hybride a des places à distance en plus des autres."


@dataclass(frozen=True, slots=True)
class Activity:
    """An activity under its row lock. Its version counts what was said of it, so a draft is at 0."""

    content: DraftActivity
    status: Literal["draft", "published", "archived"]
    version: int
    revision: int = 1
    """Counts how often it was written."""


@dataclass(frozen=True, slots=True)
class Venue:
    sheet: VenueSheet
    capacity: int
    closed_weekdays: frozenset[int]
    """ISO weekdays, 1 = Monday."""


def check_may_write(roles: AbstractSet[str]) -> None:
    """Only the lab decides what the programme holds."""
    if LAB.isdisjoint(roles):
        raise NotAllowed(f"needs one of {sorted(LAB)}")


def may_record_past(roles: AbstractSet[str]) -> bool:
    """An operator may record what has already taken place, as an import does; for everybody else a past date is a mistake."""
    return "operator" in roles


def check_details(activity_type: ActivityType, details: ActivityDetails | None) -> None:
    if details is None:
        return
    if details.activity_type != activity_type:
        raise DetailsOfAnotherType(f"details of a {details.activity_type} for a {activity_type}")
    if isinstance(details, LabtourDetails | WorkshopSupportDetails):
        fewest, most = details.group_min, details.group_max
        if fewest is not None and most is not None and fewest > most:
            raise GroupSizeInverted(f"at least {fewest} and at most {most}")


def publish(activity: Activity) -> ActivityPublished:
    if activity.status == "archived":
        raise ActivityIsArchived(f"activity {activity.content.activity_id}")
    if activity.status == "published":
        raise ActivityAlreadyPublished(f"activity {activity.content.activity_id} is published since version 1")
    return ActivityPublished(version=activity.version + 1, **activity.content.model_dump())


def schedule(request: ScheduleSession, activity: Activity, venue: Venue | None, *, now: datetime, past_allowed: bool) -> SessionScheduled:
    """Give a published activity a date."""
    if activity.status == "archived":
        raise ActivityIsArchived(f"activity {request.activity_id}")
    if activity.status == "draft":
        raise ActivityNotPublished(f"activity {request.activity_id} is a draft")
    content = activity.content
    session = SessionState(
        session_id=request.session_id,
        version=1,
        activity_id=request.activity_id,
        activity_type=content.activity_type,
        title=content.title,
        summary=content.summary,
        theme=content.theme,
        delivery_mode=content.delivery_mode,
        venue=venue.sheet if venue else None,
        periods=derive(request.periods),
        capacity=request.capacity,
        remote_capacity=request.remote_capacity,
        quorum=request.quorum,
        status="scheduled",
        opens_at=request.opens_at,
        closes_at=request.closes_at,
        private=request.private,
        needs_approval=content.needs_approval if request.needs_approval is None else request.needs_approval,
        quota=request.quota,
    )
    _check_seats(session)
    _check_place(session, venue)
    check_quota(session, now=now, past_allowed=past_allowed)
    if not past_allowed:
        _check_not_past(session.periods, now)
        _check_notice(session, session.periods, now)
    return SessionScheduled(version=1, session_id=session.session_id, session=session)


def reschedule(
    before: SessionState, request: RescheduleSession, venue: Venue | None, *, now: datetime, past_allowed: bool
) -> SessionRescheduled:
    """Change dates, place or seats of a session. `venue` is the one it has afterwards."""
    if request.expected_version not in (None, before.version):
        raise VersionConflict(f"session {before.session_id} is at version {before.version}", version=before.version)
    if before.status == "cancelled":
        raise SessionIsCancelled(f"session {before.session_id} was cancelled")
    changes = {
        "periods": derive(request.periods) if request.periods else before.periods,
        "venue": venue.sheet if venue else None,
        "capacity": request.capacity or before.capacity,
        "remote_capacity": request.remote_capacity or before.remote_capacity,
    }
    if before.model_copy(update=changes) == before:
        raise NothingChanged(f"session {before.session_id} is so already")
    after = before.model_copy(update=changes | {"version": before.version + 1})
    _check_seats(after)
    _check_place(after, venue)
    if not past_allowed:
        others = [period for period in after.periods if period not in before.periods]
        _check_not_past(others, now)
        _check_notice(after, others if after.venue == before.venue else after.periods, now)
    return SessionRescheduled(
        version=after.version,
        session_id=after.session_id,
        session=after,
        previous_periods=before.periods,
        previous_venue=before.venue,
        previous_capacity=before.capacity,
        reason=request.reason,
    )


def cancel(before: SessionState, reason: str) -> SessionCancelled | None:
    """Cancel a session; None when it is cancelled already, so that nothing is said twice (M5)."""
    if before.status == "cancelled":
        return None
    after = before.model_copy(update={"status": "cancelled", "cancellation_reason": reason, "version": before.version + 1})
    return SessionCancelled(version=after.version, session_id=after.session_id, session=after, reason=reason)


def derive(periods: Sequence[LocalPeriod]) -> tuple[Period, ...]:
    """Periods with their instants in UTC; refused unless each ends after it starts and before the next one starts (T1)."""
    derived = tuple(_derive(place, period) for place, period in enumerate(periods, start=1))
    for place, (earlier, later) in enumerate(pairwise(derived), start=2):
        if later.starts_at < earlier.ends_at:
            raise PeriodsInvalid(f"period {place} starts before period {place - 1} ends", period=place)
    return derived


def _derive(place: int, period: LocalPeriod) -> Period:
    try:
        zone = ZoneInfo(period.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: `Europe` is a folder
        raise PeriodsInvalid(f"period {place} has an unknown time zone", period=place) from error
    for local in (period.local_start, period.local_end):
        if local.tzinfo is not None:
            raise PeriodsInvalid(f"period {place} must be in wall-clock time, without an offset", period=place)
        if local.year not in YEARS:
            raise PeriodsInvalid(f"period {place} is not between {YEARS.start} and {YEARS.stop - 1}", period=place)
    starts_at, ends_at = to_utc(period.local_start, zone), to_utc(period.local_end, zone)
    if ends_at <= starts_at:
        raise PeriodsInvalid(f"period {place} ends before it starts", period=place)
    local_start, local_end = to_local(starts_at, zone), to_local(ends_at, zone)
    moved = (local_start, local_end) != (period.local_start, period.local_end)
    return Period(
        local_start=local_start, local_end=local_end, zone=period.zone, starts_at=starts_at, ends_at=ends_at, moved_forward=moved
    )  # fmt: skip


def to_utc(local: datetime, zone: ZoneInfo) -> datetime:
    """The instant of a wall-clock time. Of two, the first; one that does not exist is moved forward by the gap, one hour in Europe (T1)."""
    return local.replace(tzinfo=zone, fold=0).astimezone(UTC)


def to_local(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def _check_seats(session: SessionState) -> None:
    seats = session.capacity + (session.remote_capacity or 0)
    if session.quorum is not None and session.quorum > seats:
        raise QuorumTooHigh(f"quorum {session.quorum}, capacity {seats}")
    if session.remote_capacity is not None and session.delivery_mode is not DeliveryMode.HYBRID:
        raise RemoteCapacityUnexpected(f"the activity is {session.delivery_mode}")


def _check_place(session: SessionState, venue: Venue | None) -> None:
    if session.delivery_mode is DeliveryMode.REMOTE:
        if venue is not None:
            raise VenueUnexpected("the activity is remote")
        return
    if venue is None:
        raise VenueRequired(f"the activity is {session.delivery_mode}")
    if session.capacity > venue.capacity:
        raise VenueTooSmall(f"{session.capacity} seats in a venue of {venue.capacity}", venue_capacity=venue.capacity)
    for period in session.periods:
        if closed := next((day for day in _days(period) if day.isoweekday() in venue.closed_weekdays), None):
            raise VenueClosed(f"the venue is closed on {closed:%A} {closed}", day=closed.isoformat())


def _days(period: LocalPeriod) -> Iterator[date]:
    """The local days that a period touches."""
    day, last = period.local_start.date(), (period.local_end - timedelta(microseconds=1)).date()
    while day <= last:
        yield day
        day += timedelta(days=1)


def _check_notice(session: SessionState, periods: Sequence[Period], now: datetime) -> None:
    """A place is told in time of what is new to it. To the dates of a private session its host has agreed by themselves (G5)."""
    if session.venue is None or session.private:
        return
    notice = timedelta(days=session.venue.notice_days)
    to_come = [period for period in periods if period.starts_at >= now]
    if any(period.local_start.date() < now.astimezone(ZoneInfo(period.zone)).date() + notice for period in to_come):
        raise VenueNeedsNotice(f"venue {session.venue.venue_id} wants {notice.days} days", notice_days=notice.days)


def _check_not_past(periods: Sequence[Period], now: datetime) -> None:
    if past := next((period for period in periods if period.starts_at < now), None):
        raise SessionInPast(f"{past.starts_at.isoformat()} has passed", starts_at=past.starts_at.isoformat())
