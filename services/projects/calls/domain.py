"""Rules of applications: who may submit one, and how it is decided (C4)."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any

from shared.contracts.projects import (
    Application,
    ApplicationDecided,
    ApplicationEvent,
    ApplicationState,
    ApplicationSubmitted,
    DecideApplication,
    SubmitApplication,
)
from shared.errors import NotAllowed, Refused

LAB = frozenset({"lab_team", "operator"})
ACCEPTED = frozenset({ApplicationState.ACCEPTED, ApplicationState.ACCEPTED_WITH_CONDITIONS})


class ApplicationExists(Refused):
    code, title = "application_exists", "Une autre candidature porte déjà cet identifiant."


class ApplicationUnknown(Refused):
    code, status, title = "application_unknown", 404, "Cette candidature n'existe pas."


class AlreadyDecided(Refused):
    """Travels with `state`, the decision that stands."""

    code, title = "already_decided", "Cette candidature a déjà reçu une décision."


class ReasonRequired(Refused):
    code, status, title = "reason_required", 422, "Une décision est toujours motivée : écrivez pourquoi."


class RedirectionRequired(Refused):
    code, status, title = "redirection_required", 422, "Une candidature non retenue reçoit une proposition concrète : indiquez laquelle."


class RedirectionUnexpected(Refused):
    code, status, title = "redirection_unexpected", 422, "Une candidature acceptée n'est pas réorientée : retirez la proposition."


def check_may_submit(request: SubmitApplication, actor: str, roles: AbstractSet[str]) -> None:
    """An agent applies for themselves; the lab may record an application that came on paper."""
    if actor != str(request.project_lead_id) and LAB.isdisjoint(roles):
        raise NotAllowed(f"{actor} applies for {request.project_lead_id}")


def check_may_decide(roles: AbstractSet[str]) -> None:
    if LAB.isdisjoint(roles):
        raise NotAllowed(f"needs one of {sorted(LAB)}")


def submit(request: SubmitApplication, now: datetime) -> tuple[Application, ApplicationSubmitted]:
    application = Application(**request.model_dump(), state=ApplicationState.SUBMITTED, version=1, submitted_at=now)
    return application, ApplicationSubmitted(**_told(application))


def is_what_was_asked(application: Application, request: SubmitApplication) -> bool:
    """Whether asking again means the same application, decided since or not."""
    return SubmitApplication.model_validate(application.model_dump()) == request


def decide(before: Application, request: DecideApplication, now: datetime) -> tuple[Application, ApplicationDecided]:
    """The committee's answer: always with a reason and, if not accepted, with something concrete instead (C4)."""
    if before.state is not ApplicationState.SUBMITTED:
        raise AlreadyDecided(f"application {before.application_id} is {before.state}", state=before.state)
    state = ApplicationState(request.decision)
    reason, redirection = request.reason.strip(), request.redirection.strip()
    if not reason:
        raise ReasonRequired(f"application {before.application_id}")
    if state not in ACCEPTED and not redirection:
        raise RedirectionRequired(f"application {before.application_id} would be {state}")
    if state in ACCEPTED and redirection:
        raise RedirectionUnexpected(f"application {before.application_id} would be {state}")
    changes = {
        "state": state,
        "decision_reason": reason,
        "redirection": redirection or None,
        "decided_at": now,
        "version": before.version + 1,
    }
    after = before.model_copy(update=changes)
    return after, ApplicationDecided(**_told(after))


def _told(application: Application) -> dict[str, Any]:
    """What an event says of it: no text, which would outlive our right to keep it (P4)."""
    return application.model_dump(include=set(ApplicationEvent.model_fields))
