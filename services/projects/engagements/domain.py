"""Rules of engagements: how long they are planned (C1), who writes in their logbook, and what closes them (C1, C9)."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Set as AbstractSet
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from shared.contracts.projects import (
    AddLogbookEntry,
    Application,
    ApplicationState,
    CloseEngagement,
    Engagement,
    EngagementClosed,
    EngagementEvent,
    EngagementStarted,
    EngagementState,
    LogbookEntry,
    LogbookEntryAdded,
    Outcome,
    StartEngagement,
)
from shared.errors import InvalidRequest, NotAllowed, Refused

PARIS = ZoneInfo("Europe/Paris")
LAB = frozenset({"lab_team", "operator"})
SHORTEST, LONGEST = 3, 6  # calendar months (C1)
ABANDONED_UNTOLD = timedelta(days=15)  # from then on an abandoned engagement may close without a REX (C9)
YEARS = range(2000, 2101)  # outside, a typing error rather than a date


class EngagementExists(Refused):
    """Travels with `engagement_id` when it is the application that already has one."""

    code, title = "engagement_exists", "Cet accompagnement a déjà commencé."


class EngagementUnknown(Refused):
    """Also the answer to whoever has no part in it."""

    code, status, title = "engagement_unknown", 404, "Cet accompagnement n'existe pas."


class EngagementIsClosed(Refused):
    code, title = "engagement_is_closed", "Cet accompagnement est clos."


class ApplicationNotAccepted(Refused):
    code, title = "application_not_accepted", "Cette candidature n'a pas été acceptée : l'accompagnement ne peut pas commencer."


class DurationOutOfBounds(Refused):
    """Travels with `earliest` and `latest`, the days between which the end may be planned."""

    code, status, title = "duration_out_of_bounds", 422, "Un accompagnement est prévu pour 3 à 6 mois."


class EntryExists(Refused):
    code, title = "entry_exists", "Une autre ligne du journal porte déjà cet identifiant."


class LessonsLearnedRequired(Refused):
    """Travels, for an abandoned engagement, with `not_required_from`."""

    code, status = "lessons_learned_required", 422
    title = "Un accompagnement se clôt avec un retour d'expérience, même de deux lignes."


# --- who ---------------------------------------------------------------------------------------------------------------------------------


def check_may_start(roles: AbstractSet[str]) -> None:
    if LAB.isdisjoint(roles):
        raise NotAllowed(f"needs one of {sorted(LAB)}")


def check_may_list(agent_id: UUID, actor: str, roles: AbstractSet[str]) -> None:
    if actor != str(agent_id) and LAB.isdisjoint(roles):
        raise NotAllowed(f"{actor} reads the portfolio of {agent_id}")


def has_part_in(engagement: Engagement, actor: str, roles: AbstractSet[str]) -> bool:
    """The project lead, the coach and the lab read it and write in its logbook; for others it does not exist."""
    return not LAB.isdisjoint(roles) or actor in {str(engagement.project_lead_id), str(engagement.coach_id)}


def author_of_entry(actor: str) -> UUID:
    """A logbook is written by people: a program has no place in it, whatever its roles."""
    try:
        return UUID(actor)
    except ValueError as error:
        raise NotAllowed(f"{actor} is not an agent, and every entry has an author") from error


def check_may_close(engagement: Engagement, actor: str, roles: AbstractSet[str]) -> None:
    if actor != str(engagement.coach_id) and LAB.isdisjoint(roles):
        raise NotAllowed(f"{actor} is not the coach of engagement {engagement.engagement_id}")


# --- what --------------------------------------------------------------------------------------------------------------------------------


def add_months(day: date, months: int) -> date:
    """The same day that many calendar months later, or the last one of a shorter month: 31 August + 6 is 28 or 29 February (C1)."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def start(request: StartEngagement, application: Application) -> tuple[Engagement, EngagementStarted]:
    """Start the coaching of an accepted application, once, with its end planned 3 to 6 months later (C1)."""
    if application.engagement_id is not None:
        raise EngagementExists(f"application {application.application_id} has one", engagement_id=str(application.engagement_id))
    if application.state not in {ApplicationState.ACCEPTED, ApplicationState.ACCEPTED_WITH_CONDITIONS}:
        raise ApplicationNotAccepted(f"application {application.application_id} is {application.state}")
    if request.starts_on.year not in YEARS:
        raise InvalidRequest(f"starts_on is not between {YEARS.start} and {YEARS.stop - 1}")
    earliest, latest = add_months(request.starts_on, SHORTEST), add_months(request.starts_on, LONGEST)
    if not earliest <= request.planned_end_on <= latest:
        raise DurationOutOfBounds(
            f"{request.starts_on} to {request.planned_end_on}", earliest=earliest.isoformat(), latest=latest.isoformat()
        )  # fmt: skip
    engagement = Engagement(
        **request.model_dump(),
        project_lead_id=application.project_lead_id,
        title=application.title,
        state=EngagementState.ACTIVE,
        version=1,
    )
    return engagement, EngagementStarted(**_told(engagement))


def is_what_was_asked(engagement: Engagement, request: StartEngagement) -> bool:
    """Whether asking again means the same engagement."""
    return StartEngagement.model_validate(engagement.model_dump()) == request


def add_entry(before: Engagement, request: AddLogbookEntry, author_id: UUID, now: datetime) -> tuple[Engagement, LogbookEntryAdded]:
    _must_be_active(before)
    entry = LogbookEntry(entry_id=request.entry_id, kind=request.kind, text=request.text, author_id=author_id, written_at=now)
    logbook = {"logbook": (entry, *before.logbook), "logbook_total": before.logbook_total + 1}
    after = before.model_copy(update=logbook | {"version": before.version + 1})
    return after, LogbookEntryAdded(**_told(after), entry_id=entry.entry_id, kind=entry.kind, author_id=author_id)


def close(before: Engagement, request: CloseEngagement, now: datetime) -> tuple[Engagement, EngagementClosed]:
    """End it at any time, with any outcome and a written reason (C1), and with its REX (C9)."""
    _must_be_active(before)
    lessons_learned = request.lessons_learned.strip()
    if not lessons_learned:
        _check_may_stay_untold(before, request.outcome, now)
    changes = {
        "state": EngagementState.CLOSED,
        "outcome": request.outcome,
        "closing_reason": request.reason,
        "lessons_learned": lessons_learned or None,
        "closed_at": now,
        "version": before.version + 1,
    }
    after = before.model_copy(update=changes)
    return after, EngagementClosed(**_told(after), outcome=request.outcome, has_lessons_learned=bool(lessons_learned))


def _check_may_stay_untold(engagement: Engagement, outcome: Outcome, now: datetime) -> None:
    if outcome is not Outcome.ABANDONED:
        raise LessonsLearnedRequired(f"engagement {engagement.engagement_id} would be {outcome}")
    first_day = engagement.starts_on + ABANDONED_UNTOLD
    if now.astimezone(PARIS).date() < first_day:
        raise LessonsLearnedRequired(f"before {first_day}", not_required_from=first_day.isoformat())


def _must_be_active(engagement: Engagement) -> None:
    if engagement.state is EngagementState.CLOSED:
        raise EngagementIsClosed(f"engagement {engagement.engagement_id} is {engagement.outcome}")


def _told(engagement: Engagement) -> dict[str, Any]:
    """What an event says of it: no text, which would outlive our right to keep it (P4, C8)."""
    return engagement.model_dump(include=set(EngagementEvent.model_fields))
