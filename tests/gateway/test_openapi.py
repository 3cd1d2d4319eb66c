"""The OpenAPI document is true: it lists what is served, its examples hold, and answers are as it says."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fastapi.routing import APIRoute

from deploy.contracts.house import every_refusal
from services.gateway.api import (
    attendance,
    bookings,
    certificates,
    feedback,
    feeds,
    groups,
    names,
    notices,
    openapi,
    programme,
    public_feeds,
    quorum,
    tailored,
)
from services.gateway.api.models import BookingItem, Bookings, Me, SessionItem, SessionPage
from tests.gateway.conftest import ALICE, House, add_session

FIXED = {
    ("get", "/sessions"),
    ("get", "/sessions/{session_id}"),
    ("post", "/sessions/{session_id}/bookings"),
    ("get", "/me"),
    ("get", "/me/bookings"),
    ("post", "/bookings/{booking_id}/cancel"),
}

OTHER_KINDS = {"md": "text/markdown", "ics": "text/calendar", "atom": "application/atom+xml", "json": "application/feed+json"}


@pytest.fixture
async def document(house: House) -> dict[str, Any]:
    return (await house.browser().get("/api/v1/openapi.json")).json()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def schema(document: dict[str, Any], name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}", "components": document["components"]}


def check(document: dict[str, Any], name: str, value: Any) -> None:
    validator = jsonschema.Draft202012Validator(schema(document, name), format_checker=jsonschema.FormatChecker())
    validator.validate(value)


async def test_it_lists_every_operation_that_is_served(document: dict[str, Any]) -> None:
    listed = {(method, path) for method, path, _ in operations(document)}
    served = {
        (method.lower(), route.path)
        for router in (
            programme.programme,
            public_feeds.router,
            programme.me,
            bookings.router,
            attendance.router,
            certificates.router,
            groups.router,
            names.router,
            tailored.router,
            notices.router,
            feeds.router,
            feedback.router,
            quorum.router,
        )
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }

    assert document["openapi"] == "3.1.0"
    assert document["servers"] == [{"url": "/api/v1"}]
    assert served | FIXED == listed


async def test_every_operation_says_what_it_refuses_with_codes_that_exist(document: dict[str, Any]) -> None:
    known = {(refusal.code, refusal.status) for refusal in every_refusal()}

    for method, path, operation in operations(document):
        said = {
            (code, int(status))
            for status, response in operation["responses"].items()
            if int(status) >= 400
            for code in re.findall(r"`(\w+)`", response["description"])
        }
        assert {"unavailable", "invalid_request", "too_many_requests"} <= {code for code, _ in said}, (method, path)
        assert said <= known, (method, path, said - known)
        for status, response in operation["responses"].items():
            kind = "application/problem+json" if int(status) >= 400 else OTHER_KINDS.get(path.rpartition(".")[2], "application/json")
            assert list(response.get("content", ())) == ([] if status == "204" else [kind]), (method, path, status)


async def test_private_operations_ask_for_a_token_or_a_session(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        public = method == "get" and path.startswith(("/sessions", "/programme", "/certificates"))
        assert ({} in operation["security"]) is public
        assert {"bearer": []} in operation["security"]


async def test_its_examples_are_valid(document: dict[str, Any]) -> None:
    examples = [(name, each) for name, model in document["components"]["schemas"].items() for each in model.get("examples", ())]

    assert {model.__name__ for model in (SessionItem, SessionPage, Me, BookingItem, Bookings)} <= {name for name, _ in examples}
    for name, example in examples:
        check(document, name, example)


async def test_the_document_itself_is_well_formed(document: dict[str, Any]) -> None:
    def references(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            for each in node.values():
                yield from references(each)
        elif isinstance(node, list):
            for each in node:
                yield from references(each)

    for reference in references(document):
        target: Any = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
    for model in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(model)
    assert openapi.PROBLEM["properties"].keys() >= {"code", "title", "status", "type", "retry_after"}


async def test_answers_are_as_it_says(document: dict[str, Any], house: House, eventually: Callable[..., Awaitable[Any]]) -> None:
    await house.start("catalog", "booking", "projects", "notify")
    await house.register(ALICE)
    session_id = await add_session(house)
    alice = await house.script(ALICE)

    async def booked() -> Any:
        answer = await alice.post(f"/api/v1/sessions/{session_id}/bookings")
        return answer if answer.status_code == 201 else None

    made = await eventually(booked)
    booking_id = made.json()["booking_id"]

    check(document, "BookingItem", made.json())
    check(document, "Problem", (await alice.post(f"/api/v1/sessions/{session_id}/bookings")).json())
    check(document, "Problem", (await alice.get("/api/v1/sessions?limit=x")).json())
    check(document, "SessionPage", (await alice.get("/api/v1/sessions")).json())
    check(document, "SessionItem", (await alice.get(f"/api/v1/sessions/{session_id}")).json())
    check(document, "Me", (await alice.get("/api/v1/me")).json())
    check(document, "Bookings", (await alice.get("/api/v1/me/bookings")).json())
    check(document, "PreferencesItem", (await alice.get("/api/v1/me/preferences")).json())
    check(document, "Portfolio", (await alice.get("/api/v1/me/projects")).json())
    check(document, "BookingItem", (await alice.post(f"/api/v1/bookings/{booking_id}/cancel")).json())


@pytest.mark.timeout(400)
async def test_made_up_requests_find_no_answer_that_it_does_not_describe(house: House, tmp_path: Path) -> None:
    """Waived: `positive_data_acceptance`, since a well-formed cursor or If-Match that is not ours is refused on purpose."""
    await house.start("catalog", "booking", "projects", "notify")
    await house.register(ALICE)
    await add_session(house)

    fuzzing = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        *("run", f"{house.url}/api/v1/openapi.json", "--header", f"Authorization: Bearer {await house.token(ALICE)}"),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "25", "--generation-deterministic", "--no-color"),
        *("--exclude-checks", "positive_data_acceptance"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=tmp_path,  # it keeps notes
    )
    said, _ = await fuzzing.communicate()

    assert fuzzing.returncode == 0, said.decode()
