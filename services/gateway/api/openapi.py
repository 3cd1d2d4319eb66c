"""The OpenAPI 3.1 document: FastAPI's, with every refusal as a problem, and the hot path that FastAPI does not serve."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from services.gateway.api.models import A_BOOKING, A_SESSION, BookingItem, Bookings, BookingWish, Me, NoMembers, SessionItem, SessionPage
from services.gateway.web.problems import MEDIA_TYPE, TYPE_PREFIX

PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457. `code` is stable and for programs, `title` is French and for people; more members may follow.",
    "type": "object",
    "required": ["type", "code", "title", "status"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "code": {"type": "string", "pattern": "^[a-z_]+$"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "retryable": {"type": "boolean", "description": "The same request may succeed later."},
        "retry_after": {"type": "integer", "description": "Seconds; also in the header Retry-After."},
        "errors": {
            "type": "array",
            "items": {"type": "object", "properties": {"where": {"type": "string"}, "what": {"type": "string"}}},
        },
    },
    "additionalProperties": True,
    "examples": [
        {
            "type": TYPE_PREFIX + "session_started",
            "code": "session_started",
            "title": "Cette séance a déjà commencé.",
            "status": 409,
            "detail": "",
            "retryable": False,
        }
    ],
}

LOCAL_TIME: dict[str, Any] = {
    "type": "string",
    "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}",
    "description": "On the clocks of `zone`, without an offset.",
}

STATUS = {
    "cursor_invalid": 400,
    "not_signed_in": 401,
    "token_invalid": 401,
    "not_allowed": 403,
    "seat_not_confirmed": 403,
    "calendar_feed_unknown": 404,
    "calendar_feeds_too_many": 409,
    "cross_site_refused": 403,
    "session_unknown": 404,
    "booking_unknown": 404,
    "agent_unknown": 404,
    "session_not_ready": 409,
    "session_started": 409,
    "session_is_cancelled": 409,
    "already_booked": 409,
    "booking_not_active": 409,
    "booking_not_open_yet": 409,
    "quota_taken": 409,
    "booking_closed": 409,
    "group_unknown": 404,
    "group_exists": 409,
    "group_too_large": 409,
    "group_not_active": 409,
    "group_cannot_grow": 409,
    "group_has_more_names": 409,
    "too_many_names": 409,
    "named_elsewhere": 409,
    "named_is_busy": 409,
    "seat_of_no_group": 409,
    "transfer_too_late": 409,
    "other_org_unit": 409,
    "org_unit_unknown": 409,
    "group_offer_unknown": 404,
    "group_offer_expired": 410,
    "overlap": 409,
    "fair_use_limit": 409,
    "no_seat_to_swap": 409,
    "no_remote_places": 409,
    "answer_awaited": 409,
    "offer_unknown": 404,
    "offer_answered": 409,
    "offer_expired": 410,
    "sheet_unknown": 404,
    "half_day_unknown": 404,
    "certificate_not_genuine": 404,
    "not_expected": 409,
    "no_half_day_now": 409,
    "half_day_closed": 409,
    "half_day_not_begun": 409,
    "half_day_not_over": 409,
    "room_code_wrong": 403,
    "scanned_in_the_future": 422,
    "excuse_too_early": 409,
    "excuse_too_late": 409,
    "nothing_to_excuse": 409,
    "tailored_request_unknown": 404,
    "tailored_request_moved_on": 409,
    "period_invalid": 422,
    "periods_invalid": 422,
    "proposals_open": 409,
    "proposal_exists": 409,
    "proposal_unknown": 404,
    "proposal_expired": 410,
    "proposal_past": 409,
    "proposal_answered": 409,
    "proposal_over": 409,
    "host_not_confirmed": 409,
    "framing_note_unknown": 404,
    "framing_note_conflict": 409,
    "quorum_unknown": 404,
    "quorum_already_decided": 409,
    "reconfirmation_unknown": 404,
    "reconfirmation_answered": 409,
    "reconfirmation_expired": 410,
    "feedback_not_asked": 404,
    "feedback_given": 409,
    "feedback_closed": 410,
    "idempotency_key_in_use": 409,
    "contended": 409,
    "version_conflict": 412,
    "body_too_large": 413,
    "line_manager_required": 422,
    "contact_invalid": 422,
    "contact_is_oneself": 422,
    "invalid_request": 422,
    "idempotency_key_reused": 422,
    "too_many_requests": 429,
    "internal_error": 500,
    "busy": 503,
    "unavailable": 503,
    "deadline_exceeded": 504,
}
"""Codes that the API may answer, with their HTTP status."""

ALWAYS = ("invalid_request", "too_many_requests", "internal_error", "unavailable", "busy", "deadline_exceeded")
WRITES = ("idempotency_key_reused", "cross_site_refused", "body_too_large")


def refusals(*codes: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses for these codes and for those that any operation may answer."""
    by_status: defaultdict[int, list[str]] = defaultdict(list)
    for code in (*codes, *ALWAYS):
        by_status[STATUS[code]].append(code)
    return {status: _problem_response(status, those) for status, those in sorted(by_status.items())}


def _problem_response(status: int, codes: list[str]) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": "Refused: " + ", ".join(f"`{code}`" for code in codes),
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in {429, 503, 504} or "contended" in codes:
        response["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait."}}
    if status == 401:
        response["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return response


BOOK: dict[str, Any] = {
    "tags": ["inscriptions"],
    "summary": "Book",
    "description": (
        "Book a seat for the signed-in agent, or a rank in the queue when none is free: look at `state`. The same Idempotency-Key gives "
        "the same answer for 48 hours. `already_booked` carries `booking_id` and its `location`. `session_not_ready` will pass: try again. "
        "`booking_not_open_yet` and `booking_closed` carry the date, `opens_at` or `closes_at`. Of a session with a `quota`, seats are "
        "reserved until its `until`: the first of these refusals is for whom they are not for, `quota_taken` for who comes after the last "
        "of them; nobody waits before. `overlap` carries the `clashes`, each of "
        "which can be exchanged (`/bookings/{booking_id}/swap`); `fair_use_limit` carries the `limit` and the `bookings` that count. "
        "`overlaps` in the answer names seats at the same hours that may be kept, since one of the two is remote. A session with "
        "places at a distance (`availability.remote`) is followed from there with `remote`; both have their own queue. One with "
        "`needs_approval` wants `line_manager_email`: the seat is held, with `pending`, until the line manager answers."
    ),
    "operationId": "book",
    "parameters": [
        {"name": "session_id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}, "example": A_SESSION},
        {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "minLength": 1, "maxLength": 200}},
    ],
    "requestBody": {"required": False, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/BookingWish"}}}},
    "responses": {
        "201": {
            "description": "`confirmed`, or `waiting` with its `rank`.",
            "headers": {
                "Location": {"schema": {"type": "string"}, "description": f"Such as `/api/v1/bookings/{A_BOOKING}`."},
                "ETag": {"schema": {"type": "string"}, "description": "For `If-Match` at cancellation."},
            },
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/BookingItem"}}},
        }
    }
    | {
        str(status): response
        for status, response in refusals(
            "not_signed_in", "token_invalid", "session_unknown", "session_not_ready", "session_started", "session_is_cancelled",
            "booking_not_open_yet", "quota_taken", "booking_closed", "already_booked", "overlap", "fair_use_limit", "line_manager_required",
            "no_remote_places", "contact_invalid", "contact_is_oneself", "not_allowed", "agent_unknown", "idempotency_key_in_use",
            "contended", *WRITES,
        ).items()
    },
    "security": [{"bearer": []}, {"session": []}],
}  # fmt: skip


def document(api: FastAPI, session_cookie: str) -> dict[str, Any]:
    """The whole document, made once."""
    found = get_openapi(
        title="Lab-O",
        version="1",
        openapi_version="3.1.0",
        summary="Programme, inscriptions et projets du laboratoire d’innovation publique",
        description="Errors are RFC 9457 problems. GET answers have an ETag. Writes accept an Idempotency-Key.",
        routes=api.routes,
        servers=[{"url": "/api/v1"}],
    )
    schemas: dict[str, Any] = found["components"]["schemas"]
    schemas.setdefault("NoMembers", NoMembers.model_json_schema())
    schemas.setdefault("BookingWish", BookingWish.model_json_schema())
    for model in (Bookings, BookingItem, Me, SessionItem, SessionPage):
        schemas[model.__name__]["examples"] = model.model_json_schema()["examples"]  # FastAPI left out what is null in them
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = PROBLEM
    for period in ("Period", "LocalPeriod"):
        for name in ("local_start", "local_end"):  # Pydantic calls it `date-time`, which in JSON Schema has an offset
            schemas[period]["properties"][name] = LOCAL_TIME
    found["paths"].setdefault("/sessions/{session_id}/bookings", {})["post"] = BOOK
    for path, operations in found["paths"].items():
        public = path.startswith(("/sessions", "/programme", "/certificates")) and "post" not in operations
        for operation in operations.values():
            operation.setdefault("security", [{}, {"bearer": []}] if public else [{"bearer": []}, {"session": []}])
    found["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "session": {"type": "apiKey", "in": "cookie", "name": session_cookie},
    }
    return found
