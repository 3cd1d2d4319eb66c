"""The rules of attendance: half-days, who may be added when, what becomes of a booking. Pure: sheet and clock come in."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Literal
from uuid import UUID

from services.booking.deadlines.domain import PARIS, IsHoliday, working_days_after
from shared.contracts.attendance import HalfDay, HalfDaySheet, RoomCode, SheetState
from shared.contracts.booking import AttendanceOutcome
from shared.contracts.catalog import Period, VenueSheet
from shared.errors import Refused


class SheetUnknown(Refused):
    """Also the answer to whoever does not keep it."""

    code, status = "sheet_unknown", 404
    title = "Cette feuille d'émargement n'existe pas."


class HalfDayUnknown(Refused):
    code, status = "half_day_unknown", 404
    title = "Cette séance n'a pas cette demi-journée."


class NotExpected(Refused):
    code = "not_expected"
    title = "Cette personne n'a pas de place confirmée à cette séance."


class NoHalfDayNow(Refused):
    """Travels with `next_at`, from when somebody may check in, if there is another half-day."""

    code = "no_half_day_now"
    title = "Aucune demi-journée de cette séance n'est en cours : le pointage ouvre 30 minutes avant."


class RoomCodeWrong(Refused):
    code, status = "room_code_wrong", 403
    title = "Ce code n'est pas celui de la salle : recopiez celui qui est affiché en ce moment."


class ScannedInTheFuture(Refused):
    code, status = "scanned_in_the_future", 422
    title = "L'heure du pointage est dans le futur : vérifiez l'horloge de votre téléphone."


class HalfDayClosed(Refused):
    code = "half_day_closed"
    title = "La feuille de cette demi-journée est close : demandez à votre formateur ou au Lab de la corriger."


class HalfDayNotBegun(Refused):
    code = "half_day_not_begun"
    title = "Cette demi-journée n'a pas commencé."


class HalfDayNotOver(Refused):
    code = "half_day_not_over"
    title = "Cette demi-journée n'est pas terminée : sa feuille se signe à la fin."


class ExcuseTooEarly(Refused):
    code = "excuse_too_early"
    title = "Cette séance n'a pas commencé : rendez plutôt votre place, elle servira à quelqu'un."


class ExcuseTooLate(Refused):
    """Travels with `until`."""

    code = "excuse_too_late"
    title = "Le délai pour signaler un empêchement, cinq jours ouvrés, est passé."


class NothingToExcuse(Refused):
    code = "nothing_to_excuse"
    title = "Il n'y a pas d'absence à excuser pour cette inscription."


NOON = time(13)
LONGEST_HALF_DAY = timedelta(hours=5)  # a talk from 12:30 to 13:30 is not two half-days
EARLY = timedelta(minutes=30)
CODE_LASTS = timedelta(minutes=5)
CLOCKS_DIFFER = timedelta(minutes=2)
REMINDED_AFTER = timedelta(hours=48)
GIVEN_UP_AFTER_DAYS = 10
EXCUSED_WITHIN_DAYS = 5
LINK_LASTS = timedelta(days=60)  # after the session: long enough for a late paper sheet and its corrections

ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"  # nothing that looks like something else
CODE_LENGTH = 6


# --- half-days ---------------------------------------------------------------------------------------------------------


def half_days_of(periods: Iterable[Period]) -> list[HalfDay]:
    """Mornings and afternoons of the periods, in Paris; what is longer than five hours is cut at 13:00 and at midnight (A1)."""
    merged: dict[tuple[datetime, str], tuple[datetime, datetime]] = {}
    for period in periods:
        for start, end in _cut(period.starts_at, period.ends_at):
            middle = (start + (end - start) / 2).astimezone(PARIS)
            key = (middle.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None), "b" if middle.time() >= NOON else "a")
            before = merged.get(key, (start, end))
            merged[key] = min(before[0], start), max(before[1], end)
    return [
        HalfDay(number=number, day=day.date(), part="morning" if part == "a" else "afternoon", starts_at=start, ends_at=end)
        for number, ((day, part), (start, end)) in enumerate(sorted(merged.items()), start=1)
    ]


def _cut(start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    if end - start <= LONGEST_HALF_DAY:
        return [(start, end)]
    local = start.astimezone(PARIS)
    next_day = local.date() + timedelta(days=1)
    day, at = (local.date(), NOON) if local.time() < NOON else (next_day, time(0))
    cut = datetime.combine(day, at, PARIS).astimezone(start.tzinfo)
    return [(start, cut), *_cut(cut, end)] if cut < end else [(start, end)]


def replanned(known: Sequence[HalfDaySheet], in_use: Collection[int], planned: Sequence[HalfDay]) -> list[HalfDaySheet]:
    """The half-days of a session whose dates changed: what was closed or has presences stays, under its number; the rest is new."""
    kept = [each for each in known if each.closed_at or each.number in in_use]
    stays = {(each.day, each.part) for each in kept}
    last = max((each.number for each in kept), default=0)
    fresh = [each for each in planned if (each.day, each.part) not in stays]
    return [
        *kept,
        *(HalfDaySheet.model_validate(each.model_dump() | {"number": number}) for number, each in enumerate(fresh, start=last + 1)),
    ]


def was_moved(before: datetime, after: datetime, place_before: str, place_after: str) -> bool:
    """More than 30 minutes, another day or another place: whoever had booked did not choose this date (M1, N4)."""
    same_day = before.astimezone(PARIS).date() == after.astimezone(PARIS).date()
    return not same_day or abs(after - before) > timedelta(minutes=30) or place_before != place_after


def place_of(venue: VenueSheet | None) -> str:
    return f"{venue.name}, {venue.city}" if venue else "À distance"


# --- the sheet ---------------------------------------------------------------------------------------------------------


@dataclass
class Sheet:
    """The attendance sheet of a session, under the lock of its row."""

    session_id: UUID
    state: SheetState
    status: Literal["scheduled", "cancelled"]
    version: int
    trainer_id: UUID | None
    secret: bytes
    half_days: list[HalfDaySheet]
    title: str
    place: str
    catalog_version: int
    moved_at: datetime | None = None

    @property
    def starts_at(self) -> datetime:
        return min(each.starts_at for each in self.half_days)

    @property
    def ends_at(self) -> datetime:
        return max(each.ends_at for each in self.half_days)

    @property
    def link_until(self) -> datetime:
        return self.ends_at + LINK_LASTS

    @property
    def closed(self) -> frozenset[int]:
        return frozenset(each.number for each in self.half_days if each.closed_at)

    def half_day(self, number: int) -> HalfDaySheet:
        for each in self.half_days:
            if each.number == number:
                return each
        raise HalfDayUnknown(f"session {self.session_id} has no half-day {number}")

    def half_day_at(self, moment: datetime) -> HalfDaySheet:
        """The half-day that is under way, or begins within 30 minutes."""
        for early in (timedelta(0), EARLY):
            for each in self.half_days:
                if each.starts_at - early <= moment < each.ends_at:
                    return each
        coming = [each.starts_at - EARLY for each in self.half_days if each.starts_at > moment]
        raise NoHalfDayNow(f"none at {moment.isoformat()}", **({"next_at": min(coming).isoformat()} if coming else {}))

    def room_code(self, now: datetime) -> RoomCode:
        half_day, window = self.half_day_at(now), _window(now)
        until = datetime.fromtimestamp((window + 1) * CODE_LASTS.total_seconds(), now.tzinfo)
        return RoomCode(session_id=self.session_id, half_day=half_day.number, code=self._code(window), valid_until=until)

    def check_in(self, scanned_at: datetime | None, room_code: str | None, now: datetime) -> tuple[HalfDaySheet, datetime]:
        """Which half-day somebody came to, and when: by the time of scanning, however late it is sent, until the half-day is closed."""
        at = scanned_at or now
        if at > now + CLOCKS_DIFFER:
            raise ScannedInTheFuture(f"scanned at {at.isoformat()}")
        half_day = self.half_day_at(at)
        if room_code is not None and not self._is_code(room_code, at):
            raise RoomCodeWrong(f"not that of {at.isoformat()}")
        if half_day.closed_at:
            raise HalfDayClosed(f"half-day {half_day.number} of session {self.session_id}")
        return half_day, at

    def sign(self, number: int, who: str, now: datetime) -> bool:
        """The trainer signs a half-day, from half an hour before its end; False when it was signed before (A1)."""
        half_day = self.half_day(number)
        if half_day.closed_at:
            return False
        if now < half_day.ends_at - EARLY:
            raise HalfDayNotOver(f"half-day {number} of session {self.session_id} ends at {half_day.ends_at.isoformat()}")
        signed = half_day.model_copy(update={"closed_at": now, "closed_by": who})
        self.half_days = [signed if each.number == number else each for each in self.half_days]
        if self.state is SheetState.OPEN and all(each.closed_at for each in self.half_days):
            self.state = SheetState.CLOSED
        return True

    def give_up(self, now: datetime, is_holiday: IsHoliday) -> bool:
        """Still open after 10 working days: it counts as never closed (N2)."""
        if self.state is not SheetState.OPEN or now < given_up_at(self.ends_at, is_holiday):
            return False
        self.state = SheetState.GIVEN_UP
        return True

    def outcome(self, present: Collection[int], *, excused: bool) -> AttendanceOutcome:
        """What became of a seat. Absent needs a closed sheet; one that was given up calls nobody absent, even if signed later (N2)."""
        if present:
            return AttendanceOutcome.ATTENDED
        if excused:
            return AttendanceOutcome.EXCUSED
        return AttendanceOutcome.ABSENT if self.state is SheetState.CLOSED else AttendanceOutcome.UNKNOWN

    def _is_code(self, typed: str, at: datetime) -> bool:
        said = "".join(typed.upper().split()).replace("-", "")
        window = _window(at)
        return any(hmac.compare_digest(said.encode(), self._code(each).encode()) for each in (window, window - 1))

    def _code(self, window: int) -> str:
        digest = hmac.digest(self.secret, f"{self.session_id}/{window}".encode(), hashlib.sha256)
        return "".join(ALPHABET[byte % len(ALPHABET)] for byte in digest[:CODE_LENGTH])


def _window(moment: datetime) -> int:
    return int(moment.timestamp() // CODE_LASTS.total_seconds())


def given_up_at(ends_at: datetime, is_holiday: IsHoliday) -> datetime:
    return working_days_after(ends_at, GIVEN_UP_AFTER_DAYS, is_holiday)


def must_be_excusable(starts_at: datetime, since: datetime, now: datetime, is_holiday: IsHoliday) -> None:
    """Within five working days of the session, or of the absence being recorded if that came later (N3)."""
    if now < starts_at:
        raise ExcuseTooEarly(f"it begins at {starts_at.isoformat()}")
    until = working_days_after(since, EXCUSED_WITHIN_DAYS, is_holiday)
    if now >= until:
        raise ExcuseTooLate(f"it was accepted until {until.isoformat()}", until=until.isoformat())
