"""What each type of activity says of itself beside what all of them say: at most twelve fields a type, never the name of a person."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shared.contracts.messages import Message

Line = Annotated[str, Field(min_length=1, max_length=200)]
Lines = Annotated[tuple[Line, ...], Field(max_length=10)]
Words = Annotated[str, Field(max_length=1000)]
Hours = Annotated[float, Field(gt=0, le=200)]
People = Annotated[int, Field(ge=1, le=500)]


class LabtourDetails(Message):
    """Of a visit."""

    activity_type: Literal["labtour"] = "labtour"
    """Tells the types apart."""
    place_visited: Line
    """What kind of place it is, such as « un fablab dans une halle ferroviaire »."""
    to_see: Lines = ()
    """What the visit shows."""
    access: Words = ""
    """How one gets there and in."""
    to_bring: Lines = ()
    """What visitors bring, or wear."""
    group_min: People | None = None
    """Fewest people that the place opens for."""
    group_max: People | None = None
    """Most people that the place takes at a time."""
    duration_hours: Hours | None = None
    """How long it lasts, the way there not included."""


class InnovationThursdayDetails(Message):
    """Of a talk."""

    activity_type: Literal["innovation_thursday"] = "innovation_thursday"
    """Tells the types apart."""
    speakers: Lines = ()
    """Who speaks, by what they do: « cheffe de projet dans un hôpital »."""
    key_points: Lines = ()
    """What it is about."""
    further_reading: Lines = ()
    """Where to go on afterwards."""
    recorded: bool | None = None
    """Whether it can be seen again; None when nobody has said."""


class TrainingDetails(Message):
    """Of a training."""

    activity_type: Literal["training"] = "training"
    """Tells the types apart."""
    objectives: Annotated[Lines, Field(min_length=1)]
    """What one can do afterwards, each beginning with a verb."""
    prerequisites: Words = ""
    """What one has to know before; nothing when empty."""
    duration_hours: Hours
    """Hours of training, all periods together."""
    methods: Lines = ()
    """How one learns there."""
    assessment: Words = ""
    """How what was learnt is looked at."""
    to_bring: Lines = ()
    """What participants bring."""


class WorkshopSupportDetails(Message):
    """Of the support of somebody's workshop."""

    activity_type: Literal["workshop_support"] = "workshop_support"
    """Tells the types apart."""
    formats: Lines = ()
    """Ways of working that the lab brings."""
    deliverables: Lines = ()
    """What there is afterwards."""
    to_provide: Lines = ()
    """What the service that asks sees to."""
    preparation_weeks: Annotated[int, Field(ge=0, le=52)] | None = None
    """Weeks between the request and the workshop."""
    group_min: People | None = None
    """Fewest participants that it makes sense for."""
    group_max: People | None = None
    """Most participants."""


class CoachingDetails(Message):
    """Of the coaching of a project."""

    activity_type: Literal["coaching"] = "coaching"
    """Tells the types apart."""
    duration_months: Annotated[int, Field(ge=1, le=36)] | None = None
    """How long a project is coached."""
    rhythm: Words = ""
    """How often team and coach meet."""
    commitments: Lines = ()
    """What the team promises."""
    deliverables: Lines = ()
    """What the project has afterwards."""


ActivityDetails = Annotated[
    LabtourDetails | InnovationThursdayDetails | TrainingDetails | WorkshopSupportDetails | CoachingDetails,
    Field(discriminator="activity_type"),
]
