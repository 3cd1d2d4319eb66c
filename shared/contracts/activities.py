"""The life of an activity after its draft: looked at, edited, archived."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import Field

from shared.contracts.catalog import ActivityPublished, ActivityType, DeliveryMode, Text, Title
from shared.contracts.details import ActivityDetails
from shared.contracts.feedback import Improvement, Improvements
from shared.contracts.messages import Message, Request


class ActivityEdited(ActivityPublished):
    """What the programme says of an activity changed, for its sessions of before as well; all of it, as it is now."""

    subject: ClassVar[str] = "evt.catalog.activity_edited.v1"


class ActivityArchived(ActivityPublished):
    """An activity is no longer in the programme, nor found in it. What took place remains; the rest is as it was last said."""

    subject: ClassVar[str] = "evt.catalog.activity_archived.v1"


class ActivityState(Message):
    """An activity as the lab sees it."""

    activity_id: UUID
    activity_type: ActivityType
    title: str
    summary: str
    description: str
    theme: str
    delivery_mode: DeliveryMode
    host_id: UUID | None
    needs_approval: bool
    audience: str
    details: ActivityDetails | None
    improvements: tuple[Improvement, ...]
    status: Literal["draft", "published", "archived"]
    version: int
    """Counts what was said of it: 0 for a draft."""
    revision: int
    """Counts how often it was written, from 1."""


class GetActivity(Request[ActivityState]):
    """An activity, a draft too. For `lab_team` and `operator`. Refuses `not_allowed`, `activity_unknown`."""

    subject: ClassVar[str] = "rpc.catalog.get_activity.v1"
    activity_id: UUID


class EditActivity(Request[ActivityState]):
    """Write an activity anew, draft or published; what is left out stays. Its type and its delivery mode are for life.

    For `lab_team` and `operator`. When nothing changes, nothing is said. Refuses `not_allowed`, `activity_unknown`,
    `activity_is_archived`, `version_conflict` (with the present `revision`), `details_of_another_type`, `group_size_inverted`.
    """

    subject: ClassVar[str] = "rpc.catalog.edit_activity.v1"
    activity_id: UUID
    expected_revision: Annotated[int, Field(ge=1)]
    """The one that the author has read."""
    title: Title | None = None
    summary: Annotated[str, Field(max_length=400)] | None = None
    description: Text | None = None
    theme: Annotated[str, Field(max_length=100)] | None = None
    audience: Annotated[str, Field(max_length=200)] | None = None
    details: ActivityDetails | None = None
    improvements: Improvements | None = None
    """All of them, as they shall be."""


class ArchiveActivity(Request[ActivityState]):
    """Take an activity out of the programme. Archiving twice changes nothing and answers the same.

    For `lab_team` and `operator`. Refuses `not_allowed`, `activity_unknown`, `activity_not_published`, and `activity_has_sessions`, with
    their ids in `sessions`, while one that is not cancelled has yet to end.
    """

    subject: ClassVar[str] = "rpc.catalog.archive_activity.v1"
    activity_id: UUID
