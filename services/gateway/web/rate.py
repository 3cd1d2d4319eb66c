"""How often one principal may ask: a moving window in the memory of each process. The reverse proxy holds the real limit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable

from shared.errors import Refused

WINDOW_SECONDS = 60.0
MANY = 20_000  # keys kept before the stale ones are thrown away


class TooManyRequests(Refused):
    code, status, retryable, retry_after = "too_many_requests", 429, True, 1
    title = "Trop de demandes en peu de temps : patientez un instant."


class Rate:
    """At most `limit` in any minute, told from two counters: this minute's, and the last one's in proportion of what is left of it."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._clock = limit, clock
        self._counts: dict[Hashable, tuple[int, int, int]] = {}

    def count(self, key: Hashable) -> None:
        """One more; `TooManyRequests` with the seconds to wait when it is one too many, which is not counted."""
        if not self._limit:
            return
        window, elapsed = divmod(self._clock(), WINDOW_SECONDS)
        number = int(window)
        seen, before, here = self._counts.get(key, (number, 0, 0))
        if seen != number:
            before, here = (here if seen == number - 1 else 0), 0
        if before * (1 - elapsed / WINDOW_SECONDS) + here >= self._limit:
            raise self._refusal(before, here, elapsed)
        self._counts[key] = number, before, here + 1
        if len(self._counts) > MANY:
            self._counts = {each: counts for each, counts in self._counts.items() if counts[0] >= number - 1}

    def _refusal(self, before: int, here: int, elapsed: float) -> TooManyRequests:
        wait = WINDOW_SECONDS - elapsed
        if before and here < self._limit:  # the last minute fades: when does it leave room for one?
            wait = (1 - (self._limit - here) / before) * WINDOW_SECONDS - elapsed
        refusal = TooManyRequests(f"more than {self._limit} requests a minute")
        refusal.retry_after = max(1, math.floor(wait + 0.01) + 1)
        return refusal
