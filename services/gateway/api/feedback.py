"""Surveys through the API: the agent's answer, and what the lab may read (P5)."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.api.models import A_SESSION
from services.gateway.api.openapi import refusals
from services.gateway.desk import desk_of
from services.gateway.web.etags import tagged
from shared.contracts.feedback import GetFeedback, GetInvitation, GiveFeedback, Invitation, SessionFeedback

router = APIRouter(tags=["feedback"])

READS = ("not_signed_in", "token_invalid", "feedback_not_asked")
AN_INVITATION = "018f6b2e-0000-7000-8000-000000000c01"


class InvitationItem(Invitation):
    """A survey that the agent is asked to fill in."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "invitation_id": AN_INVITATION,
                    "session_id": A_SESSION,
                    "survey": "hot",
                    "answered": False,
                    "open_until": "2027-04-01T16:00:00Z",
                }
            ]
        }
    )


class Answers(BaseModel):
    """Grades from 1, not at all, to 4, very much; words of a person who says nothing of themselves."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"useful": 4, "applied": 3, "words": "Plus de temps pour les essais."}]}
    )

    useful: int = Field(ge=1, le=4, description="Hot: was it useful? Cold: is it, looking back?")
    applied: int = Field(ge=1, le=4, description="Hot: will you use it at work? Cold: have you?")
    words: str = Field(default="", max_length=1000, description="Hot: what should the lab change? Cold: what did you change?")


class FeedbackItem(SessionFeedback):
    """What came back for one session, five answers at a time."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "session_id": A_SESSION,
                    "surveys": [
                        {
                            "survey": "hot",
                            "asked": 12,
                            "answers": 5,
                            "useful": [0, 1, 1, 3],
                            "applied": [0, 0, 3, 2],
                            "words": ["Plus de temps pour les essais."],
                        }
                    ],
                }
            ]
        }
    )


@router.get("/me/surveys/{invitation_id}", response_model=InvitationItem, responses=refusals(*READS))
async def get_invitation(request: Request, invitation_id: UUID) -> Response:
    """A survey of the agent's own: whether it is answered, and until when it is open."""
    desk = desk_of(request)
    principal = await desk.door.signed_in(request)
    return tagged(request, await desk.bus.ask(GetInvitation(invitation_id=invitation_id), principal.caller()))


@router.post(
    "/me/surveys/{invitation_id}",
    response_model=InvitationItem,
    responses=refusals(*READS, "feedback_given", "feedback_closed", "contended"),
)
async def give_feedback(request: Request, invitation_id: UUID, answers: Answers) -> Response:
    """Answer once. No `Idempotency-Key` is taken, since it would keep who answers beside what: a repeat is refused as given."""
    desk = desk_of(request)
    principal = await desk.door.signed_in(request)
    order = GiveFeedback(invitation_id=invitation_id, useful=answers.useful, applied=answers.applied, words=answers.words)
    given = await desk.bus.ask(order, principal.caller())
    return Response(given.model_dump_json(), 200, {"Cache-Control": "no-store"}, "application/json")


@router.get(
    "/lab/sessions/{session_id}/feedback",
    response_model=FeedbackItem,
    responses=refusals("not_signed_in", "token_invalid", "not_allowed"),
)
async def get_feedback(request: Request, session_id: UUID) -> Response:
    """For the lab: grades and words, by five. Fewer than five answers that are left over wait for others, and are not shown."""
    desk = desk_of(request)
    principal = await desk.door.signed_in(request)
    return tagged(request, await desk.bus.ask(GetFeedback(session_id=session_id), principal.caller()))
