"""The surveys that catalog's word on a session calls for."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.feedback.domain import asked_at
from shared.contracts.catalog import SessionState
from shared.contracts.feedback import Survey
from shared.timers import set_timer

ASK_FOR_FEEDBACK = "ask_for_feedback"


async def plan_surveys(tx: AsyncConnection, catalog: SessionState) -> None:
    """They follow the session's end, wherever it moves. Of a cancelled one they find nobody to ask."""
    for survey in Survey:
        about = {"session_id": catalog.session_id, "survey": survey}
        key = f"feedback/{survey}/{catalog.session_id}"
        await set_timer(tx, key, asked_at(survey, catalog.ends_at), ASK_FOR_FEEDBACK, about)
