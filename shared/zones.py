"""A VTIMEZONE spelled out around the dates at hand, without RRULE (K2, K3).

Every change of offset is its own STANDARD or DAYLIGHT: Outlook ignores RDATE and, where RRULE is missing, makes a yearly rule of DTSTART
([MS-OXCICAL] 2.1.3.1.1.19.2.1). icalendar's own `Timezone.from_tzid` puts the onset of summer time an hour late.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from icalendar import Timezone, TimezoneDaylight, TimezoneStandard


def timezone(zone_name: str, first: datetime, last: datetime) -> Timezone:
    """The zone from the change before `first` to the one after `last`."""
    return _timezone(zone_name, first.astimezone(UTC).year, last.astimezone(UTC).year)


@lru_cache(maxsize=64)
def _timezone(zone_name: str, first_year: int, last_year: int) -> Timezone:
    zone = ZoneInfo(zone_name)
    since = datetime(first_year - 1, 7, 1, tzinfo=UTC)
    component = Timezone()
    component.add("tzid", zone_name)
    onsets = list(_changes(zone, since, datetime(last_year + 1, 1, 1, tzinfo=UTC)))
    for onset in onsets or [datetime(1970, 1, 1, tzinfo=UTC)]:
        component.add_component(_observance(zone, onset))
    return component


def _observance(zone: ZoneInfo, onset: datetime) -> TimezoneStandard | TimezoneDaylight:
    after, before = onset.astimezone(zone), (onset - timedelta(seconds=1)).astimezone(zone)
    observance = TimezoneDaylight() if after.dst() else TimezoneStandard()
    offset_before, offset_after = before.utcoffset() or timedelta(), after.utcoffset() or timedelta()
    observance.add("dtstart", (onset + offset_before).replace(tzinfo=None))  # wall clock as it was just before the change
    observance.add("tzoffsetfrom", offset_before)
    observance.add("tzoffsetto", offset_after)
    observance.add("tzname", after.tzname() or zone.key)
    return observance


def _changes(zone: ZoneInfo, since: datetime, until: datetime) -> Iterator[datetime]:
    """The instants, to the minute, at which the offset of a zone changes."""
    day = timedelta(days=1)
    while since < until:
        if since.astimezone(zone).utcoffset() != (since + day).astimezone(zone).utcoffset():
            low, high = since, since + day
            while high - low > timedelta(minutes=1):
                middle = low + (high - low) / 2
                middle = middle.replace(second=0, microsecond=0)
                if middle.astimezone(zone).utcoffset() == since.astimezone(zone).utcoffset():
                    low = middle
                else:
                    high = middle
            yield high
        since += day
