"""Seats that some agents may book first: what the lab may publish of them, and until when (W1). Pure."""

from __future__ import annotations

from datetime import datetime

from shared.contracts.catalog import SessionState
from shared.contracts.quotas import Quota
from shared.errors import Refused


class QuotaInvalid(Refused):
    """Travels with its `fault`."""

    code, status = "quota_invalid", 422
    title = "Ces places réservées ne conviennent pas : vérifiez leur nombre, leurs dates et pour qui elles sont."


class QuotaTooLate(Refused):
    code = "quota_too_late"
    title = "Les inscriptions à cette séance sont déjà ouvertes : une règle de priorité se publie avant."


def check_quota(session: SessionState, *, now: datetime, past_allowed: bool) -> None:
    """It is for somebody, on the page before the opening, and over before the session."""
    if session.quota is None:
        return
    if fault := _fault(session.quota, session):
        raise QuotaInvalid(fault, fault=fault)
    if session.opens_at is not None and session.opens_at <= now and not past_allowed:
        raise QuotaTooLate(f"booking is open since {session.opens_at.isoformat()}")


def _fault(quota: Quota, session: SessionState) -> str | None:
    closes_at = session.closes_at or session.starts_at
    if session.private:
        return "the session is private"
    if not quota.newcomers and not quota.departments:
        return "it is for nobody"
    if quota.seats > session.capacity:
        return f"{quota.seats} seats of {session.capacity}"
    if session.opens_at is None or not session.opens_at < quota.until < closes_at:
        return "it does not end between the opening and the closing of the session, which are to be given"
    return None
