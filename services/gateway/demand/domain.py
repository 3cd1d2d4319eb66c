"""What is looked for and not found tells the lab what to plan (demand signal). Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from uuid import UUID

from services.gateway.programme.domain import plain
from shared.contracts.gateway import DemandSignalled, Wanted

WORD = re.compile(r"[a-z][a-z'-]+")
MOST_WORDS = 6
A_DAY = 20  # different searches of one visitor that count
VISITORS = 20_000


def wanted(search: Wanted) -> Wanted | None:
    """The search in plain words of letters only, no number, no address. None when nothing is left of it."""
    kept = [word for word in plain(search.words).split() if WORD.fullmatch(word)][:MOST_WORDS]
    said = search.model_copy(update={"words": " ".join(kept)})
    return None if said == Wanted() else said


def signal(signal_id: UUID, search: Wanted, hidden: int, now: datetime) -> DemandSignalled:
    return DemandSignalled(version=1, signal_id=signal_id, wanted=search, hidden=hidden, heard_at=now)


class Ear:
    """Lets a search of a visitor count once a day, and at most twenty: a robot is not a demand. Forgets at midnight; nothing is stored."""

    def __init__(self, today: Callable[[], date]) -> None:
        self._today, self._day = today, date.min
        self._heard: dict[str, set[Wanted]] = {}

    def hears(self, visitor: str, search: Wanted) -> bool:
        if self._day != (day := self._today()) or len(self._heard) > VISITORS:
            self._day, self._heard = day, {}
        theirs = self._heard.setdefault(visitor, set())
        if search in theirs or len(theirs) >= A_DAY:
            return False
        theirs.add(search)
        return True
