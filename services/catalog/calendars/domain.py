"""Which days are no ordinary ones: public holidays decide, school holidays and long weekends warn (T2, T3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

from shared.contracts.series import DateWarning, WarningCode

LONGEST_SCHOOL_HOLIDAY = timedelta(days=70)  # the summer has 60; longer is a wrong year
FRIDAY = 5


@dataclass(frozen=True, slots=True)
class SchoolHoliday:
    """Days without school, both ends included."""

    name: str
    first: date
    last: date


@dataclass(frozen=True, slots=True)
class DayCalendar:
    public_holiday: Callable[[date], str | None]
    """Its French name, if the day is one."""
    school_holidays: Sequence[SchoolHoliday] = ()

    def warnings(self, day: date) -> tuple[DateWarning, ...]:
        """What makes people stay away on that day. It blocks nothing (T3)."""
        found = [
            DateWarning(code=WarningCode.SCHOOL_HOLIDAY, title=f"{each.name} (zone C)")
            for each in self.school_holidays
            if each.first <= day <= each.last
        ]
        if day.isoweekday() == FRIDAY and (holiday := self.public_holiday(day - timedelta(days=1))):
            found.append(DateWarning(code=WarningCode.LONG_WEEKEND, title=f"Pont du jeudi férié : {holiday}"))
        return tuple(found)


def checked(written: Iterable[SchoolHoliday]) -> tuple[SchoolHoliday, ...]:
    """The holidays in order; a ValueError names the one that cannot be meant."""
    holidays = tuple(written)
    if not holidays:
        raise ValueError("there are no school holidays")
    for each in holidays:
        if not each.name or each.first > each.last or each.last - each.first > LONGEST_SCHOOL_HOLIDAY:
            raise ValueError(f"{each.name} from {each.first} to {each.last} cannot be school holidays")
    for earlier, later in pairwise(holidays):
        if later.first <= earlier.last:
            raise ValueError(f"{later.name} from {later.first} begins before {earlier.name} ends")
    return holidays
