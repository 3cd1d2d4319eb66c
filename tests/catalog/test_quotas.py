"""What the lab may publish of seats that some book first, and until when (W1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.catalog.activities import handlers
from services.catalog.activities.domain import schedule
from services.catalog.quotas.domain import QuotaInvalid, QuotaTooLate
from shared.contracts.catalog import GetSession, RescheduleSession, SessionState
from shared.contracts.quotas import Quota
from shared.database import Database
from tests.catalog.givens import DEMONSTRATION, LAB_TEAM, OPERATOR, a_venue, an_activity, an_order, given_activity, given_venue, shift_to

OPENS = DEMONSTRATION + timedelta(days=1)
UNTIL = OPENS + timedelta(days=7)


def a_quota(**changed: Any) -> Quota:
    given: dict[str, Any] = {"seats": 6, "until": UNTIL, "newcomers": True, "departments": ("09", "48")}
    return Quota(**given | changed)


def scheduled(quota: Quota, *, past_allowed: bool = False, now: datetime = DEMONSTRATION, **changed: Any) -> SessionState:
    order = an_order(quota=quota, **{"opens_at": OPENS} | changed)
    return schedule(order, an_activity(), a_venue(), now=now, past_allowed=past_allowed).session


def test_W1_what_is_reserved_is_said_with_the_session() -> None:
    assert scheduled(a_quota()).quota == a_quota()


@pytest.mark.parametrize(
    ("wrong", "about"),
    [
        pytest.param({"newcomers": False, "departments": ()}, {}, id="for nobody"),
        pytest.param({"seats": 13}, {}, id="more seats than there are"),
        pytest.param({}, {"opens_at": None}, id="without an opening"),
        pytest.param({"until": OPENS}, {}, id="over when booking opens"),
        pytest.param({}, {"closes_at": UNTIL}, id="until booking closes"),
        pytest.param({"until": OPENS + timedelta(days=30)}, {}, id="beyond the session"),
        pytest.param({}, {"private": True}, id="of a private session"),
    ],
)
def test_W1_a_rule_that_makes_no_sense_is_refused(wrong: dict[str, Any], about: dict[str, Any]) -> None:
    with pytest.raises(QuotaInvalid) as refused:
        scheduled(a_quota(**wrong), **about)

    assert refused.value.members["fault"]


def test_W1_it_is_published_before_booking_opens_and_only_an_import_may_come_later() -> None:
    with pytest.raises(QuotaTooLate):
        scheduled(a_quota(), now=OPENS)

    assert scheduled(a_quota(), now=OPENS, past_allowed=True).quota


async def test_W1_it_is_kept_and_a_move_leaves_it_as_it_was_published(database: Callable[[str], Awaitable[Database]]) -> None:
    shift_to(DEMONSTRATION)
    catalog = await database("catalog")
    order = an_order(activity_id=await given_activity(catalog), venue_id=await given_venue(catalog), opens_at=OPENS, quota=a_quota())
    async with catalog.begin() as tx:
        await handlers.schedule_session(order, LAB_TEAM, tx)
    assert (await handlers.get_session(GetSession(session_id=order.session_id), OPERATOR, catalog)).quota == a_quota()

    async with catalog.begin() as tx:
        moved = await handlers.reschedule_session(RescheduleSession(session_id=order.session_id, capacity=10), LAB_TEAM, tx)

    assert (moved.capacity, moved.quota) == (10, a_quota())
