"""What may become of an activity: edited whenever it is not archived, archived when nothing of it is still to come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from services.catalog.activities.domain import Activity, ActivityIsArchived, ActivityNotPublished, check_details
from shared.contracts.activities import ActivityArchived, ActivityEdited, ActivityState, EditActivity
from shared.errors import Refused, VersionConflict

NAMED = 20


class ActivityHasSessions(Refused):
    """Travels with the `sessions`, twenty at most."""

    code, title = "activity_has_sessions", "Des séances de cette activité sont encore à venir : annulez-les d'abord."


def edit(before: Activity, request: EditActivity) -> Activity:
    """The activity as it is written now; the same one when nothing changes."""
    if before.status == "archived":
        raise ActivityIsArchived(f"activity {request.activity_id}")
    if request.expected_revision != before.revision:
        raise VersionConflict(f"activity {request.activity_id} is at revision {before.revision}", revision=before.revision)
    written = {name: value for name, value in request if value is not None and name not in {"activity_id", "expected_revision"}}
    content = before.content.model_copy(update=written)
    if content == before.content:
        return before
    check_details(content.activity_type, content.details)
    said = 1 if before.status == "published" else 0  # nobody hears of a draft
    return replace(before, content=content, version=before.version + said, revision=before.revision + 1)


def archive(before: Activity, to_come: Sequence[UUID]) -> Activity:
    if before.status == "archived":
        return before
    if before.status == "draft":
        raise ActivityNotPublished(f"activity {before.content.activity_id} was never published")
    if to_come:
        named = [str(each) for each in to_come[:NAMED]]
        raise ActivityHasSessions(f"{len(to_come)} sessions of activity {before.content.activity_id} have yet to end", sessions=named)
    return replace(before, status="archived", version=before.version + 1)


def edited(activity: Activity) -> ActivityEdited:
    return ActivityEdited(version=activity.version, **dict(activity.content))


def archived(activity: Activity) -> ActivityArchived:
    return ActivityArchived(version=activity.version, **dict(activity.content))


def state(activity: Activity) -> ActivityState:
    return ActivityState(status=activity.status, version=activity.version, revision=activity.revision, **dict(activity.content))
