"""What only one type of activity has: its own fields, and those of no other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, get_args

import pytest
from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from services.catalog.activities import domain, handlers
from shared.contracts.catalog import ActivityType, DraftActivity, PublishActivity
from shared.contracts.details import (
    ActivityDetails,
    CoachingDetails,
    InnovationThursdayDetails,
    LabtourDetails,
    TrainingDetails,
    WorkshopSupportDetails,
)
from shared.database import Database, constraint_of
from tests.catalog.givens import DEMONSTRATION, OPERATOR, a_draft, payloads, shift_to

EACH: dict[ActivityType, Any] = {
    ActivityType.LABTOUR: LabtourDetails(place_visited="Un fablab", group_min=4, group_max=12),
    ActivityType.INNOVATION_THURSDAY: InnovationThursdayDetails(speakers=("Cheffe de projet",), recorded=False),
    ActivityType.TRAINING: TrainingDetails(objectives=("Écrire clair",), duration_hours=7.5),
    ActivityType.WORKSHOP_SUPPORT: WorkshopSupportDetails(deliverables=("Un plan",), preparation_weeks=3),
    ActivityType.COACHING: CoachingDetails(duration_months=6),
}
MODELS = get_args(get_args(ActivityDetails)[0])


@pytest.fixture
async def catalog(database: Callable[[str], Awaitable[Database]]) -> Database:
    shift_to(DEMONSTRATION)
    return await database("catalog")


async def draft(catalog: Database, **changed: Any) -> DraftActivity:
    request = a_draft(**changed)
    async with catalog.begin() as tx:
        await handlers.draft_activity(request, OPERATOR, tx)
    return request


def test_every_type_has_fields_of_its_own_and_at_most_twelve() -> None:
    assert {model.model_fields["activity_type"].default for model in MODELS} == set(ActivityType) == set(EACH)
    for model in MODELS:
        assert 2 <= len(model.model_fields) - 1 <= 12, model


@pytest.mark.parametrize("kind", ActivityType)
async def test_what_was_drafted_is_published_and_asked_for_twice_is_the_same(catalog: Database, kind: ActivityType) -> None:
    request = await draft(catalog, activity_type=kind, details=EACH[kind], audience="Agents d'accueil")

    async with catalog.begin() as tx:
        await handlers.draft_activity(request, OPERATOR, tx)
        await handlers.publish_activity(PublishActivity(activity_id=request.activity_id), OPERATOR, tx)

    (told,) = await payloads(catalog)
    assert (told["audience"], told["details"]) == ("Agents d'accueil", EACH[kind].model_dump(mode="json"))


@pytest.mark.parametrize("kind", ActivityType)
def test_the_fields_of_another_type_are_refused(kind: ActivityType) -> None:
    for other, details in EACH.items():
        if other is kind:
            domain.check_details(kind, details)
        else:
            with pytest.raises(domain.DetailsOfAnotherType):
                domain.check_details(kind, details)


def test_a_group_of_at_least_more_than_at_most_is_refused() -> None:
    for details in (
        LabtourDetails(place_visited="Un fablab", group_min=13, group_max=12),
        WorkshopSupportDetails(group_min=9, group_max=8),
    ):
        with pytest.raises(domain.GroupSizeInverted):
            domain.check_details(ActivityType(details.activity_type), details)


async def test_a_draft_with_wrong_details_is_not_kept(catalog: Database) -> None:
    with pytest.raises(domain.DetailsOfAnotherType):
        await draft(catalog, activity_type=ActivityType.TRAINING, details=EACH[ActivityType.COACHING])

    async with catalog.connect() as connection:
        assert await connection.scalar(text("select count(*) from activity")) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"activity_type": "training", "duration_hours": 3},
        {"activity_type": "training", "objectives": [], "duration_hours": 3},
        {"activity_type": "training", "objectives": ["Écrire"], "duration_hours": 0},
        {"activity_type": "labtour"},
        {"activity_type": "labtour", "place_visited": "x" * 201},
        {"activity_type": "innovation_thursday", "speakers": ["a"] * 11},
        {"activity_type": "party"},
        {"objectives": ["Écrire"]},
    ],
)
def test_what_a_type_needs_and_how_much_it_may_say_is_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DraftActivity.model_validate(a_draft().model_dump() | {"details": wrong})


async def test_the_database_swears_that_details_are_of_the_activitys_type(catalog: Database) -> None:
    await draft(catalog, details=EACH[ActivityType.TRAINING])

    with pytest.raises(IntegrityError) as broken:
        async with catalog.begin() as tx:
            await tx.execute(text("update activity set activity_type = 'coaching'"))
    assert constraint_of(broken.value) == "activity_details_of_its_type"
