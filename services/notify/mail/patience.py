"""How long a mail waits after a temporary failure."""

from __future__ import annotations

from datetime import timedelta

LONGEST_PAUSE = timedelta(hours=1)


def pause_before_retry(attempts: int, base: timedelta, longest: timedelta = LONGEST_PAUSE) -> timedelta:
    """1 min, 2 min, 4 min… after temporary failures: greylisting wants patience (S7)."""
    return min(base * 2 ** min(attempts - 1, 16), longest)
