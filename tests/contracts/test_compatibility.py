"""Within a major version optional fields are added, and nothing else. Every kind of break is planted here, and seen."""

from __future__ import annotations

import subprocess
import sys
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Optional
from uuid import UUID

import pytest
from pydantic import AwareDatetime, BaseModel, Field, create_model

from deploy.contracts import __main__ as command
from deploy.contracts.compatibility import breaks
from deploy.contracts.schemas import RELEASED, ROOT, every_contract, read_folder


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Place(BaseModel):
    city: str


Rank = Annotated[int, Field(ge=1, le=100)]
Places = tuple[Place, ...]


class Fact(BaseModel):
    """What was released."""

    subject: ClassVar[str] = "x"
    fact_id: UUID
    state: Colour
    rank: Rank
    note: Annotated[str, Field(min_length=2, max_length=10)] = ""
    kind: Literal["a", "b"] = "a"
    place: Place | None = None
    places: Places = ()
    at: AwareDatetime | None = None


def schema_of(model: type[BaseModel], subject: str) -> dict[str, Any]:
    return {"x-subject": subject, **model.model_json_schema()}


def changed(model: type[BaseModel] = Fact, *, without: str = "", **fields: Any) -> type[BaseModel]:
    """The model with some fields replaced, added, or left out."""
    kept: dict[str, Any] = {name: (each.annotation, each) for name, each in model.model_fields.items() if name != without}
    return create_model(model.__name__, **kept | fields)


def said(new: type[BaseModel], old: type[BaseModel] = Fact) -> list[str]:
    return breaks({"x.fact.v1": schema_of(old, "evt.x.fact.v1")}, {"x.fact.v1": schema_of(new, "evt.x.fact.v1")})


def asked(new: type[BaseModel], old: type[BaseModel] = Fact) -> list[str]:
    return breaks({"x.ask.v1": schema_of(old, "rpc.x.ask.v1")}, {"x.ask.v1": schema_of(new, "rpc.x.ask.v1")})


class Grown(StrEnum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


class Shrunk(StrEnum):
    RED = "red"


class PlaceWithStreet(BaseModel):
    city: str
    street: str


StreetPlaces = tuple[PlaceWithStreet, ...]


class PlaceWithOptionalStreet(BaseModel):
    city: str
    street: str = ""


BREAKS_ANYWHERE: dict[str, tuple[type[BaseModel], str]] = {
    "a field removed": (changed(without="note"), "field `note` was removed or renamed"),
    "a field renamed": (changed(without="note", notes=(str, "")), "field `note` was removed or renamed"),
    "a field of another type": (changed(rank=(str, ...)), "`rank` changed its type from integer to string"),
    "a field of another format": (changed(fact_id=(str, ...)), "`fact_id` changed its format from uuid to None"),
    "an optional field made required": (changed(kind=(Literal["a", "b"], ...)), "field `kind` became required"),
    "a required field added": (changed(colour=(str, ...)), "field `colour` was added as required: give it a default"),
    "an enum value lost": (changed(state=(Shrunk, ...)), "`state` lost the value blue"),
    "a literal value lost": (changed(kind=(Literal["a"], "a")), "`kind` lost the value b"),
    "a text that became a choice": (changed(note=(Literal["x"], "x")), "`note` now takes only x"),
    "a lower bound raised": (changed(rank=(Annotated[int, Field(ge=2, le=100)], ...)), "`rank` changed its minimum from 1 to 2"),
    "an upper bound lowered": (changed(rank=(Annotated[int, Field(ge=1, le=10)], ...)), "`rank` changed its maximum from 100 to 10"),
    "a bound added": (
        changed(places=(Annotated[Places, Field(max_length=3)], ())),
        "`places` changed its maxItems from None to 3",
    ),
    "a pattern added": (
        changed(note=(Annotated[str, Field(min_length=2, max_length=10, pattern="^a")], "")),
        "`note` changed its pattern from None to ^a",
    ),
    "null no longer taken": (changed(at=(AwareDatetime, Field(default=None))), "`at` may no longer be null"),
    "another default": (changed(kind=(Literal["a", "b"], "b")), "`kind` changed its default from a to b"),
    "a required field added inside": (changed(place=(PlaceWithStreet | None, None)), "field `place.street` was added as required"),
    "a required field added inside a list": (
        changed(places=(StreetPlaces, ())),
        "field `places[].street` was added as required",
    ),
}

BREAKS_READERS_ONLY: dict[str, tuple[type[BaseModel], str]] = {
    "an enum value gained": (changed(state=(Grown, ...)), "`state` gained the value green, which its readers refuse"),
    "a required field made optional": (changed(rank=(Annotated[int, Field(ge=1, le=100)], 1)), "field `rank` became optional"),
    "a field that may now be null": (
        changed(rank=(Optional[Rank], ...)),  # noqa: UP045 - an alias
        "`rank` may now be null",
    ),
    "an upper bound raised": (changed(rank=(Annotated[int, Field(ge=1, le=1000)], ...)), "`rank` changed its maximum from 100 to 1000"),
    "a bound removed": (changed(note=(Annotated[str, Field(min_length=2)], "")), "`note` changed its maxLength from 10 to None"),
}

HARMLESS: dict[str, type[BaseModel]] = {
    "nothing": changed(),
    "an optional field added": changed(colour=(str, "red")),
    "a nullable field added": changed(colour=(Colour | None, None)),
    "an optional field added inside": changed(place=(PlaceWithOptionalStreet | None, None)),
    "other words": changed(note=(Annotated[str, Field(min_length=2, max_length=10, description="A better word.", title="Note!")], "")),
}


@pytest.mark.parametrize("case", BREAKS_ANYWHERE)
def test_a_break_is_told_for_what_is_said_and_for_what_is_asked(case: str) -> None:
    new, sentence = BREAKS_ANYWHERE[case]

    assert any(sentence in each for each in said(new)), said(new)
    assert any(sentence in each for each in asked(new)), asked(new)


@pytest.mark.parametrize("case", BREAKS_READERS_ONLY)
def test_what_is_said_may_not_grow_while_what_is_asked_may_be_looser(case: str) -> None:
    new, sentence = BREAKS_READERS_ONLY[case]

    assert any(sentence in each for each in said(new)), said(new)
    assert asked(new) == []


@pytest.mark.parametrize("case", HARMLESS)
def test_optional_fields_and_words_may_be_added(case: str) -> None:
    assert said(HARMLESS[case]) == []
    assert asked(HARMLESS[case]) == []


def test_a_reply_is_something_said_although_its_subject_is_a_request() -> None:
    old, new = schema_of(Fact, "rpc.x.ask.v1"), schema_of(changed(state=(Grown, ...)), "rpc.x.ask.v1")

    sentences = breaks({"x.ask.v1.reply": old}, {"x.ask.v1.reply": new})

    assert sentences == ["x.ask.v1.reply: `state` gained the value green, which its readers refuse"]


def test_a_message_may_come_but_not_go_nor_move() -> None:
    fact = schema_of(Fact, "evt.x.fact.v1")

    assert breaks({}, {"x.fact.v1": fact}) == []
    assert breaks({"x.fact.v1": fact}, {}) == ["x.fact.v1: the message was removed, and somebody may still send or read it"]
    assert breaks({"x.fact.v1": fact}, {"x.fact.v1": fact | {"x-subject": "evt.y.fact.v1"}}) == [
        "x.fact.v1: its subject changed from evt.x.fact.v1 to evt.y.fact.v1"
    ]


def test_todays_contracts_keep_what_the_last_release_promised() -> None:
    assert command.broken_promises() == []
    assert read_folder(RELEASED), "no release yet: python -m deploy.contracts release"


def test_a_break_planted_in_a_real_event_is_seen() -> None:
    present = {each.name: each.schema() for each in every_contract()}
    del present["booking.booking_confirmed.v1"]["properties"]["session_sequence"]

    assert breaks(read_folder(RELEASED), present) == ["booking.booking_confirmed.v1: field `session_sequence` was removed or renamed"]


def test_the_command_fails_on_a_break_and_refuses_to_release_it(tmp_path: Any) -> None:
    script = f"""
import sys
from pathlib import Path
from deploy.contracts import __main__ as command, schemas
folder = Path({str(tmp_path)!r})
command.RELEASED = folder
command.release()
released = folder / "booking.book_seat.v1.json"
released.write_text(released.read_text().replace('"session_id"', '"room_id"'))
sys.argv = ["contracts", *sys.argv[1:]]
sys.exit(command.main())
"""

    def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", script, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)

    for arguments in (["check"], ["release"]):
        refused = ran(*arguments)
        assert refused.returncode == 1
        assert "booking.book_seat.v1: field `room_id` was removed or renamed" in refused.stderr
    assert ran("release", "--accept-breaks").returncode == 0
