"""Attendance through the API: check-in and excuses for agents, sheets for whoever keeps them."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.api.bookings import LONGEST_KEY, key_of
from services.gateway.api.models import A_SESSION, AN_AGENT
from services.gateway.api.openapi import refusals
from services.gateway.desk import Desk, desk_of
from services.gateway.web.etags import tagged
from shared.contracts.attendance import (
    Attendance,
    AttendanceSheet,
    CheckedIn,
    CheckIn,
    CloseHalfDay,
    DeclareExcuse,
    EnterAttendance,
    EntrustSheet,
    GetRoomCode,
    GetSheet,
    HalfDayNumber,
    HandEntry,
    ListOpenSheets,
    Reason,
    RoomCode,
    SheetList,
)
from shared.contracts.messages import Request as Order
from shared.contracts.strikes import ListStrikes, StrikeList
from shared.links import Link, Purpose

router = APIRouter(tags=["présences"])

Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=LONGEST_KEY)]
SIGNED_IN = ("not_signed_in", "token_invalid")
WRITTEN = (*SIGNED_IN, "idempotency_key_in_use", "contended")
KEPT = ("sheet_unknown", "session_is_cancelled")


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{}]})


class Trainer(_Body):
    """Whoever shall keep the sheet; without `trainer_id`, somebody whom the directory does not know."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"trainer_id": AN_AGENT}, {}]})
    trainer_id: UUID | None = None


class Arrival(_Body):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"room_code": "K7M 4QX"}]})
    room_code: Annotated[str, Field(max_length=20)] | None = None
    scanned_at: AwareDatetime | None = None
    """When the code was on show, for a telephone that had no network then; taken until the half-day is signed."""


class Entries(_Body):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"entries": [{"booking_id": A_SESSION, "present": True}], "reason": "Feuille papier"}]},
    )
    entries: Annotated[tuple[HandEntry, ...], Field(min_length=1, max_length=500)]
    reason: Reason


class EntrustedSheet(BaseModel):
    sheet: AttendanceSheet
    url: str | None
    """Opens the sheet without an account; for whoever keeps it and nobody else."""


@router.post("/bookings/{booking_id}/check-in", response_model=CheckedIn, responses=refusals(
    *WRITTEN, "booking_unknown", "not_expected", "room_code_wrong", "no_half_day_now", "scanned_in_the_future", "half_day_closed",
    "session_is_cancelled",
))  # fmt: skip
async def check_in(request: Request, booking_id: UUID, arrival: Arrival, _idempotency_key: Key = None) -> Response:
    """Say that the signed-in agent is there, with the code shown in the room; whoever keeps the sheet needs none. Twice is once."""
    return await _order(request, CheckIn(booking_id=booking_id, room_code=arrival.room_code, scanned_at=arrival.scanned_at))


@router.post("/bookings/{booking_id}/excuse", response_model=Attendance, responses=refusals(
    *WRITTEN, "booking_unknown", "excuse_too_early", "excuse_too_late", "nothing_to_excuse",
))  # fmt: skip
async def declare_excuse(request: Request, booking_id: UUID, _idempotency_key: Key = None) -> Response:
    """Illness or a service need: accepted up to five working days after, no detail is asked or kept."""
    return await _order(request, DeclareExcuse(booking_id=booking_id))


@router.get("/me/strikes", response_model=StrikeList, responses=refusals(*SIGNED_IN))
async def list_strikes(request: Request) -> Response:
    """Absences and late cancellations of the last six months: the signed-in agent's own, which nobody else may see."""
    desk, principal = desk_of(request), await desk_of(request).door.signed_in(request)
    return tagged(request, await desk.bus.ask(ListStrikes(agent_id=principal.agent_id), principal.caller()))


@router.get("/sheets", response_model=SheetList, responses=refusals(*SIGNED_IN, "not_allowed"))
async def list_open_sheets(request: Request) -> Response:
    """Sheets of sessions that are over and still open, oldest first. For the lab."""
    desk, principal = desk_of(request), await desk_of(request).door.signed_in(request)
    return tagged(request, await desk.bus.ask(ListOpenSheets(), principal.caller()))


@router.get("/sheets/{session_id}", response_model=AttendanceSheet, responses=refusals(*SIGNED_IN, *KEPT))
async def get_sheet(request: Request, session_id: UUID) -> Response:
    """Who is expected and who came. For the lab and for whoever keeps the sheet."""
    desk, principal = desk_of(request), await desk_of(request).door.signed_in(request)
    return tagged(request, await desk.bus.ask(GetSheet(session_id=session_id), principal.caller()))


@router.get("/sheets/{session_id}/room-code", response_model=RoomCode, responses=refusals(*SIGNED_IN, *KEPT, "no_half_day_now"))
async def get_room_code(request: Request, session_id: UUID) -> Response:
    """The code to show in the room now."""
    desk, principal = desk_of(request), await desk_of(request).door.signed_in(request)
    return tagged(request, await desk.bus.ask(GetRoomCode(session_id=session_id), principal.caller()))


@router.put("/sheets/{session_id}/trainer", response_model=EntrustedSheet, responses=refusals(*WRITTEN, *KEPT, "not_allowed"))
async def entrust_sheet(request: Request, session_id: UUID, trainer: Trainer, _idempotency_key: Key = None) -> Response:
    """Say who keeps the sheet, and get the link that opens it; the former one's ends. For the lab."""
    desk, principal = desk_of(request), await desk_of(request).door.signed_in(request)
    order = EntrustSheet(session_id=session_id, trainer_id=trainer.trainer_id)
    sheet = await desk.bus.ask(order, principal.caller(key_of(request)))
    entrusted = EntrustedSheet(sheet=sheet, url=sheet_url(desk, sheet))
    return Response(entrusted.model_dump_json(), 200, {"Cache-Control": "no-store"}, "application/json")


@router.post("/sheets/{session_id}/half-days/{half_day}/entries", response_model=AttendanceSheet, responses=refusals(
    *WRITTEN, *KEPT, "half_day_unknown", "half_day_not_begun", "not_expected",
))  # fmt: skip
async def enter_attendance(
    request: Request, session_id: UUID, half_day: HalfDayNumber, entered: Entries, _idempotency_key: Key = None
) -> Response:
    """Presences from the paper sheet, or a correction of a half-day that is signed; author and reason are kept."""
    return await _order(request, EnterAttendance(session_id=session_id, half_day=half_day, **dict(entered)))


@router.post("/sheets/{session_id}/half-days/{half_day}/close", response_model=AttendanceSheet, responses=refusals(
    *WRITTEN, *KEPT, "half_day_unknown", "half_day_not_over",
))  # fmt: skip
async def close_half_day(request: Request, session_id: UUID, half_day: HalfDayNumber, _idempotency_key: Key = None) -> Response:
    """The trainer's signature. With the last one the sheet is closed."""
    return await _order(request, CloseHalfDay(session_id=session_id, half_day=half_day))


def sheet_url(desk: Desk, sheet: AttendanceSheet) -> str | None:
    if sheet.trainer_id is None:
        return None
    token = Link(Purpose.KEEP_SHEET, sheet.session_id, sheet.trainer_id, sheet.link_until).sign(desk.settings.link_secret)
    return token and desk.settings.page(f"/emargement/{token}")


async def _order(request: Request, order: Order[Any]) -> Response:
    desk, principal = desk_of(request), await desk_of(request).door.signed_in(request)
    answer = await desk.bus.ask(order, principal.caller(key_of(request)))
    return Response(answer.model_dump_json(), 200, {"Cache-Control": "no-store"}, "application/json")
