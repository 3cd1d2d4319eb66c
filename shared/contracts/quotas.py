"""Seats that some agents may book before everybody else."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, Field

from shared.contracts.messages import Message

Department = Annotated[str, Field(pattern=r"^(\d{2}|2[AB])$")]
"""Two-character code of a département, such as `31`."""


class Quota(Message):
    """Seats that some agents may book before everybody else, by a rule that is published before anybody may (W1).

    From the opening until `until` only those whom it is for book, and at most `seats` of the session's `capacity`. What they leave is
    everybody's from then on: nobody waits before, so that the queue keeps its one order.
    """

    seats: Annotated[int, Field(ge=1)]
    until: AwareDatetime
    """From when everybody may book."""
    newcomers: bool = False
    """For agents who never had a seat."""
    departments: Annotated[tuple[Department, ...], Field(max_length=20)] = ()
    """For agents who work in one of these."""

    def admits(self, *, newcomer: bool, department: str | None) -> bool:
        return (self.newcomers and newcomer) or department in self.departments
