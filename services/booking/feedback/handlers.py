"""Asking after a session, taking answers that name nobody, and what the lab may read of them (P5)."""

from __future__ import annotations

from uuid import UUID, uuid5

from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.feedback import store
from services.booking.feedback.domain import STEP, Answer, FeedbackNotAsked, Results, counted, must_be_open, open_until
from services.booking.feedback.planning import ASK_FOR_FEEDBACK
from shared import clock, outbox
from shared.bus import Caller
from shared.contracts.feedback import (
    FeedbackReceived,
    GetFeedback,
    GetInvitation,
    GiveFeedback,
    Invitation,
    SessionFeedback,
    Survey,
    SurveyResults,
)
from shared.database import Database
from shared.errors import NotAllowed
from shared.requests import Requests
from shared.timers import Timer, Timers

requests = Requests()
timers = Timers()

NOBODY = Caller("booking")


@timers.on(ASK_FOR_FEEDBACK)
async def ask_for_feedback(timer: Timer, tx: AsyncConnection) -> None:
    """Long after, as for the past that an import records, nobody is asked: the time to answer is over."""
    survey, now = Survey(timer.payload["survey"]), clock.now()
    until = open_until(survey, timer.due_at)
    if now < until:
        asked = await store.invite(tx, UUID(timer.payload["session_id"]), survey, now, until)
        await outbox.record(tx, *asked, cause=timer)


@requests.query(GetInvitation)
async def get_invitation(request: GetInvitation, caller: Caller, database: Database) -> Invitation:
    async with database.connect() as connection:
        return await _own(connection, request.invitation_id, caller)


# A query to the kernel, although it writes: a command with a key keeps its caller beside a print of what was said.
@requests.query(GiveFeedback)
async def give_feedback(request: GiveFeedback, caller: Caller, database: Database) -> Invitation:
    """Once: the second of two at the same moment waits for the survey's row, and finds the invitation answered."""
    async with database.begin() as tx:
        survey = await _own(tx, request.invitation_id, caller)
        before = await store.lock_results(tx, survey.session_id, survey.survey)
        invitation = await _own(tx, request.invitation_id, caller)
        must_be_open(invitation, clock.now())

        after = before.receive(Answer(request.useful, request.applied, request.words.strip()))

        await store.take(tx, invitation, after)
        if len(after.shown) > len(before.shown):
            await outbox.record(tx, _received(invitation, after), cause=NOBODY)
    return invitation.model_copy(update={"answered": True})


@requests.query(GetFeedback)
async def get_feedback(request: GetFeedback, caller: Caller, database: Database) -> SessionFeedback:
    if not caller.has("operator", "lab_team"):
        raise NotAllowed(f"{caller.actor} is not of the lab")
    async with database.connect() as connection:
        found = await store.results(connection, request.session_id)
    return SessionFeedback(session_id=request.session_id, surveys=tuple(_shown(*each) for each in found))


async def _own(connection: AsyncConnection, invitation_id: UUID, caller: Caller) -> Invitation:
    if (found := await store.invitation(connection, invitation_id, caller.actor)) is None:
        raise FeedbackNotAsked(f"invitation {invitation_id}")
    return found


def _received(invitation: Invitation, results: Results) -> FeedbackReceived:
    """Said by nobody: whose answer was the fifth is no more to be known than whose were the others."""
    answers = len(results.shown)
    return FeedbackReceived(
        version=answers // STEP,
        feedback_id=uuid5(invitation.session_id, invitation.survey),
        session_id=invitation.session_id,
        survey=invitation.survey,
        answers=answers,
    )


def _shown(survey: Survey, asked: int, results: Results) -> SurveyResults:
    return SurveyResults(
        survey=survey,
        asked=asked,
        answers=len(results.shown),
        useful=counted([each.useful for each in results.shown]),
        applied=counted([each.applied for each in results.shown]),
        words=results.words,
    )
