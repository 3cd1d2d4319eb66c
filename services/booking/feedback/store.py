"""Who was asked, and, apart from it, what was answered: neither an id, nor an order, nor a time, nor a transaction joins the two.

Table `feedback_invitation` knows agents and whether they have answered; `feedback` is one row for each session and survey, rewritten whole.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.feedback.domain import Answer, Results
from shared import outbox
from shared.contracts.feedback import FeedbackRequested, Invitation, Survey

# Those who came; where nobody knows whether they did, those who had a seat.
_TO_ASK = text(
    """
    select booking.booking_id, booking.session_id, booking.agent_id
    from booking join session using (session_id) left join attendance using (booking_id)
    where session.session_id = :session_id and session.status = 'scheduled' and session.ends_at <= :now
      and booking.state = 'confirmed' and coalesce(attendance.outcome, 'unknown') in ('attended', 'unknown')
      and not exists (select from feedback_invitation asked where asked.booking_id = booking.booking_id and asked.survey = :survey)
    order by booking.booking_id
    """
)
_INVITE = text(
    """
    insert into feedback_invitation (invitation_id, booking_id, session_id, agent_id, survey, open_until)
    values (:invitation_id, :booking_id, :session_id, :agent_id, :survey, :open_until)
    """
)
_INVITATION = text(
    """
    select invitation_id, session_id, survey, answered, open_until
    from feedback_invitation where invitation_id = :invitation_id and cast(agent_id as text) = :actor
    """
)
_OPEN = text("insert into feedback (session_id, survey) values (:session_id, :survey) on conflict do nothing")
_LOCK = text("select shown, waiting from feedback where session_id = :session_id and survey = :survey for update")
_READ = text(
    """
    select survey, count(*) as asked,
           (select shown from feedback answered where answered.session_id = :session_id and answered.survey = asked.survey) as shown
    from feedback_invitation asked where session_id = :session_id group by survey order by survey desc
    """
)
# All of the session's, so that the transaction written on the row of the last who answered is on every other row too.
_SPEND = text(
    """
    update feedback_invitation set answered = answered or invitation_id = :invitation_id
    where session_id = :session_id and survey = :survey
    """
)
_WRITE = text(
    """
    update feedback set shown = cast(:shown as jsonb), waiting = cast(:waiting as jsonb)
    where session_id = :session_id and survey = :survey
    """
)


async def invite(tx: AsyncConnection, session_id: UUID, survey: Survey, now: datetime, open_until: datetime) -> list[FeedbackRequested]:
    """Ask those who were not asked yet."""
    rows = await tx.execute(_TO_ASK, {"session_id": session_id, "survey": survey, "now": now})
    asked = [
        FeedbackRequested(version=1, invitation_id=outbox.uuid7(), survey=survey, open_until=open_until, **row) for row in rows.mappings()
    ]
    if asked:
        await tx.execute(_INVITE, [each.model_dump(exclude={"version"}) for each in asked])
    return asked


async def invitation(connection: AsyncConnection, invitation_id: UUID, actor: str) -> Invitation | None:
    """None for anybody but the agent who was invited."""
    row = (await connection.execute(_INVITATION, {"invitation_id": invitation_id, "actor": actor})).mappings().one_or_none()
    return Invitation.model_validate(dict(row), strict=False) if row else None


async def lock_results(tx: AsyncConnection, session_id: UUID, survey: Survey) -> Results:
    """Answers to one survey are taken one after the other; whether somebody has answered is to be read after this."""
    about = {"session_id": session_id, "survey": survey}
    await tx.execute(_OPEN, about)
    row = (await tx.execute(_LOCK, about)).one()
    return Results(_answers(row.shown), _answers(row.waiting))


async def take(tx: AsyncConnection, spent: Invitation, results: Results) -> None:
    about = {"session_id": spent.session_id, "survey": spent.survey}
    await tx.execute(_SPEND, about | {"invitation_id": spent.invitation_id})
    await tx.execute(_WRITE, about | {"shown": _json(results.shown), "waiting": _json(results.waiting)})


async def results(connection: AsyncConnection, session_id: UUID) -> list[tuple[Survey, int, Results]]:
    """Each survey that was sent out, how many were asked, and what may be shown."""
    rows = await connection.execute(_READ, {"session_id": session_id})
    return [(Survey(row.survey), row.asked, Results(_answers(row.shown or ()))) for row in rows]


def _answers(kept: Sequence[dict[str, Any]]) -> tuple[Answer, ...]:
    return tuple(Answer(**each) for each in kept)


def _json(answers: Sequence[Answer]) -> str:
    return json.dumps([asdict(each) for each in answers])
