"""Booking through the API. `book` stands on the hot path: plain Starlette, described to OpenAPI in `openapi.py`."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Header
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.api.models import Acceptance, BookingItem, Bookings, BookingWish, Exchange, ModeWish, NoMembers
from services.gateway.api.openapi import refusals
from services.gateway.desk import desk_of
from services.gateway.programme.seats import Wish, ask_for_exchange, ask_for_seat
from services.gateway.web.etags import expected_version, tagged, version_tag
from shared.contracts.agenda import SwapBooking
from shared.contracts.booking import AcceptOffer, CancelBooking, DeclineOffer, GetBooking, ListBookings
from shared.contracts.modes import ChangeMode
from shared.contracts.moves import ConfirmBooking
from shared.errors import InvalidRequest, Refused
from shared.outbox import uuid7

PREFIX = "/api/v1"
LONGEST_KEY = 200

router = APIRouter(tags=["inscriptions"])


async def book(request: Request) -> Response:
    desk = desk_of(request)
    principal = await desk.door.signed_in(request)
    session_id = read_id(request.path_params["session_id"])
    wish = Wish()
    if body := await request.body():
        try:
            wish = Wish(**BookingWish.model_validate_json(body).model_dump())
        except ValidationError as error:
            raise InvalidRequest("a booking takes `line_manager_email`, `agent_email` and `remote`, or nothing") from error
    try:
        booking = await ask_for_seat(desk, session_id, principal, principal.caller(key_of(request)), wish)
    except Refused as refusal:
        if booking_id := refusal.members.get("booking_id"):
            refusal.members["location"] = f"{PREFIX}/bookings/{booking_id}"  # B3: with the link
        raise
    headers = {"Location": f"{PREFIX}/bookings/{booking.booking_id}", "ETag": version_tag(booking), "Cache-Control": "no-store"}
    return Response(booking.model_dump_json(), 201, headers, "application/json")


def read_id(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError as error:
        raise InvalidRequest("the address holds no id", errors=[{"where": "path", "what": "not a UUID"}]) from error


def key_of(request: Request) -> str:
    """The client's idempotency key, or one of our own, so that a retry between us and the service is harmless too."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return str(uuid7())
    if not 0 < len(key) <= LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise InvalidRequest(f"Idempotency-Key is 1 to {LONGEST_KEY} printable ASCII characters")
    return key


@router.get("/me/bookings", response_model=Bookings, responses=refusals("not_signed_in", "token_invalid"))
async def list_bookings(request: Request) -> Response:
    """The signed-in agent's bookings, newest first, ended ones included. Has an ETag."""
    desk = desk_of(request)
    principal = await desk.door.signed_in(request)
    found = await desk.bus.ask(ListBookings(agent_id=principal.agent_id, limit=200), principal.caller())
    return tagged(request, found)


@router.get("/bookings/{booking_id}", response_model=BookingItem, responses=refusals("not_signed_in", "token_invalid", "booking_unknown"))
async def get_booking(request: Request, booking_id: UUID) -> Response:
    """One booking of the signed-in agent. Its ETag is its version, for `If-Match`."""
    desk = desk_of(request)
    principal = await desk.door.signed_in(request)
    booking = await desk.bus.ask(GetBooking(booking_id=booking_id), principal.caller())
    return tagged(request, booking, etag=version_tag(booking))


@router.post(
    "/bookings/{booking_id}/cancel",
    response_model=BookingItem,
    responses=refusals(
        "not_signed_in", "token_invalid", "booking_unknown", "booking_not_active", "session_started", "session_is_cancelled",
        "offer_expired", "version_conflict", "idempotency_key_in_use", "contended",
    ),
)  # fmt: skip
async def cancel_booking(
    request: Request,
    booking_id: UUID,
    _body: Annotated[NoMembers | None, Body()] = None,
    _idempotency_key: Annotated[str | None, Header(alias="Idempotency-Key", max_length=LONGEST_KEY)] = None,
    _if_match: Annotated[
        str | None,
        Header(alias="If-Match", description="ETag of the booking: refuse if it has changed since.", json_schema_extra={"example": '"1"'}),
    ] = None,
) -> Response:
    """Give the seat back, or leave the queue; whoever is next is served at once."""
    desk = desk_of(request)
    principal = await desk.door.signed_in(request)
    order = CancelBooking(booking_id=booking_id, expected_version=expected_version(request))
    booking = await desk.bus.ask(order, principal.caller(key_of(request)))
    return Response(booking.model_dump_json(), 200, {"ETag": version_tag(booking), "Cache-Control": "no-store"}, "application/json")


OFFER_CODES = (
    "not_signed_in", "token_invalid", "booking_unknown", "offer_unknown", "offer_answered", "offer_expired", "session_started",
    "session_is_cancelled", "idempotency_key_in_use", "contended",
)  # fmt: skip


@router.post(
    "/bookings/{booking_id}/swap",
    response_model=BookingItem,
    status_code=201,
    responses=refusals(
        "not_signed_in", "token_invalid", "booking_unknown", "booking_not_active", "session_not_ready", "session_started",
        "session_is_cancelled", "booking_not_open_yet", "quota_taken", "booking_closed", "already_booked", "overlap", "fair_use_limit",
        "no_seat_to_swap",
        "line_manager_required", "no_remote_places", "contact_invalid", "contact_is_oneself", "idempotency_key_in_use", "contended",
    ),
)  # fmt: skip
async def swap_booking(
    request: Request,
    booking_id: UUID,
    wish: Exchange,
    _idempotency_key: Annotated[str | None, Header(alias="Idempotency-Key", max_length=LONGEST_KEY)] = None,
) -> Response:
    """Give this seat back and take a free one in another session: both or nothing."""
    desk = desk_of(request)
    principal = await desk.door.signed_in(request)
    order = SwapBooking(booking_id=booking_id, session_id=wish.session_id, remote=wish.remote)
    booking = await ask_for_exchange(desk, order, principal, principal.caller(key_of(request)), wish.line_manager_email)
    headers = {"Location": f"{PREFIX}/bookings/{booking.booking_id}", "ETag": version_tag(booking), "Cache-Control": "no-store"}
    return Response(booking.model_dump_json(), 201, headers, "application/json")


@router.post(
    "/bookings/{booking_id}/offer/accept",
    response_model=BookingItem,
    responses=refusals(*OFFER_CODES, "overlap", "fair_use_limit", "booking_not_active"),
)
async def accept_offer(
    request: Request,
    booking_id: UUID,
    wish: Acceptance | None = None,
    _idempotency_key: Annotated[str | None, Header(alias="Idempotency-Key", max_length=LONGEST_KEY)] = None,
) -> Response:
    """Take the seat that is offered, before its `deadline`. `offer_expired` carries the `rank` that booking again would give now.

    `overlap` and `fair_use_limit` list seats; ask again with one of them in `instead_of`, and it is given back in the same breath.
    """
    return await _answer(request, AcceptOffer(booking_id=booking_id, instead_of=wish.instead_of if wish else None))


@router.post("/bookings/{booking_id}/offer/decline", response_model=BookingItem, responses=refusals(*OFFER_CODES))
async def decline_offer(
    request: Request,
    booking_id: UUID,
    _body: Annotated[NoMembers | None, Body()] = None,
    _idempotency_key: Annotated[str | None, Header(alias="Idempotency-Key", max_length=LONGEST_KEY)] = None,
) -> Response:
    """Give the offered seat up, and the place in the queue with it; whoever is next is asked at once."""
    return await _answer(request, DeclineOffer(booking_id=booking_id))


async def _answer(request: Request, order: AcceptOffer | DeclineOffer | ConfirmBooking | ChangeMode) -> Response:
    desk = desk_of(request)
    principal = await desk.door.signed_in(request)
    booking = await desk.bus.ask(order, principal.caller(key_of(request)))
    return Response(booking.model_dump_json(), 200, {"ETag": version_tag(booking), "Cache-Control": "no-store"}, "application/json")


@router.post(
    "/bookings/{booking_id}/confirm",
    response_model=BookingItem,
    responses=refusals(
        "not_signed_in", "token_invalid", "booking_unknown", "reconfirmation_unknown", "reconfirmation_answered",
        "reconfirmation_expired", "session_started", "session_is_cancelled", "idempotency_key_in_use", "contended",
    ),
)  # fmt: skip
async def confirm_booking(
    request: Request,
    booking_id: UUID,
    _body: Annotated[NoMembers | None, Body()] = None,
    _idempotency_key: Annotated[str | None, Header(alias="Idempotency-Key", max_length=LONGEST_KEY)] = None,
) -> Response:
    """Come all the same to a session that was moved, before the `deadline` of `pending`. Who does not come cancels."""
    return await _answer(request, ConfirmBooking(booking_id=booking_id))


@router.post(
    "/bookings/{booking_id}/mode",
    response_model=BookingItem,
    responses=refusals(
        "not_signed_in", "token_invalid", "booking_unknown", "booking_not_active", "no_remote_places", "no_seat_to_swap", "answer_awaited",
        "overlap", "booking_not_open_yet", "booking_closed", "session_started", "session_is_cancelled", "version_conflict",
        "idempotency_key_in_use", "contended",
    ),
)  # fmt: skip
async def change_mode(
    request: Request,
    booking_id: UUID,
    wish: ModeWish,
    _idempotency_key: Annotated[str | None, Header(alias="Idempotency-Key", max_length=LONGEST_KEY)] = None,
    _if_match: Annotated[
        str | None,
        Header(alias="If-Match", description="ETag of the booking: refuse if it has changed since.", json_schema_extra={"example": '"1"'}),
    ] = None,
) -> Response:
    """Follow a hybrid session from a distance instead of in the room, or the other way round, where a seat of that mode is free.

    The place that is left goes to the queue of its mode at once. Asking for the mode that one has changes nothing.
    """
    return await _answer(request, ChangeMode(booking_id=booking_id, remote=wish.remote, expected_version=expected_version(request)))
