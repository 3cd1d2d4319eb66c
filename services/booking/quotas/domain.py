"""Seats that some agents may book before everybody else, and whom they are for (W1). Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.booking.agenda.domain import Agenda
from services.booking.seats.refusals import BookingNotOpenYet, QuotaTaken
from shared.contracts.quotas import Quota


@dataclass(frozen=True, slots=True)
class Applicant:
    """What a quota may ask of whoever books (W1)."""

    newcomer: bool
    """Never had a seat."""
    department: str | None
    """Code of the one they work in, as far as the directory knows it."""

    def beside(self, agenda: Agenda) -> Applicant:
        """With what was given since they were looked up: one batch may hold several of their orders."""
        return replace(self, newcomer=self.newcomer and not agenda.has_a_seat)


def must_be_admitted(quota: Quota, applicant: Applicant | None, held: int, capacity: int) -> None:
    """As long as reserved seats last: nobody waits for them, so that no queue begins before it is everybody's."""
    until = quota.until.isoformat()
    if applicant is None or not quota.admits(newcomer=applicant.newcomer, department=applicant.department):
        raise BookingNotOpenYet(f"it opens to everybody at {until}", opens_at=until)
    if held >= min(quota.seats, capacity):
        raise QuotaTaken(f"{held} of {quota.seats} reserved seats are held", opens_at=until)
