"""What the world reads about our messages is generated from the models, and complete."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import jsonschema
import pytest

from deploy.contracts import __main__ as command
from deploy.contracts.asyncapi import document
from deploy.contracts.pages import fields_without_meaning
from deploy.contracts.schemas import ROOT, every_contract
from deploy.topology import Topology
from shared.bus import Caller
from shared.contracts.messages import Envelope, Event, Request

CONTRACTS = every_contract()
DOCUMENT = document(CONTRACTS, Topology.read(), "0.0.0")


# Services whose messages would make one module too long to read.
HOMES = {
    "catalog": ("catalog", "activities", "series"),
    "booking": (
        "booking",
        "availability",
        "agenda",
        "overbooking",
        "attendance",
        "certificates",
        "groups",
        "names",
        "strikes",
        "tailored",
        "tailored_events",
        "framing",
        "approval",
        "modes",
        "moves",
        "feedback",
        "quorum",
    ),
    "notify": ("notify", "reminders", "preferences", "feeds", "bounces", "webhooks"),
}
PERSONAL = {"email", "mail", "phone", "given_name", "usual_name", "family_name", "first_name", "last_name", "full_name", "siret", "sub"}


def resolve(reference: dict[str, str]) -> Any:
    found: Any = DOCUMENT
    for step in reference["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


def test_the_documents_in_docs_are_what_the_contracts_say() -> None:
    assert command.drift() == []


def test_drift_of_any_document_is_told(tmp_path: Path) -> None:
    command.generate(tmp_path)
    assert command.drift(tmp_path) == []

    (tmp_path / "docs/events.md").write_text("edited by hand")
    (tmp_path / "docs/schemas/booking.book_seat.v1.json").unlink()
    (tmp_path / "docs/schemas/booking.gone.v1.json").write_text("{}")

    assert command.drift(tmp_path) == [
        "docs/schemas/booking.book_seat.v1.json is missing",
        "docs/events.md is not what the contracts say",
        "docs/schemas/booking.gone.v1.json describes a message that is gone",
    ]


def test_the_asyncapi_document_is_valid_by_the_official_schema() -> None:
    schema = json.loads(Path(__file__).with_name("asyncapi-3.0.0.schema.json").read_text())

    assert [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(json.loads(json.dumps(DOCUMENT)))] == []


def test_the_official_schema_would_see_a_mistake() -> None:
    schema = json.loads(Path(__file__).with_name("asyncapi-3.0.0.schema.json").read_text())
    broken = json.loads(json.dumps(DOCUMENT))
    next(iter(broken["operations"].values()))["action"] = "shout"

    assert not jsonschema.Draft7Validator(schema).is_valid(broken)


def test_every_reference_of_the_document_leads_somewhere() -> None:
    references = re.findall(r'"\$ref": "([^"]+)"', json.dumps(DOCUMENT))

    assert references
    for reference in references:
        resolve({"$ref": reference})


def test_every_event_has_a_channel_with_its_parameter_and_ce_headers() -> None:
    for event in (each for each in CONTRACTS if each.kind == "event"):
        assert issubclass(event.model, Event)
        channel = DOCUMENT["channels"][event.name]
        parameter = f"{event.model.aggregate}_id"
        assert channel["address"] == f"{event.subject}.{{{parameter}}}"
        assert list(channel["parameters"]) == [parameter]
        (message,) = (resolve(each) for each in channel["messages"].values())
        headers = resolve(message["traits"][0])["headers"]["properties"]
        fact = event.model.model_validate(event.sample())
        assert isinstance(fact, Event)
        sent = Envelope.of(fact, event_id=uuid4(), time=datetime.now(UTC), actor="labo", causationid="x", traceparent="x").headers()
        assert set(sent) == set(headers)


def test_every_request_has_an_operation_with_a_reply_and_the_headers_that_the_bus_sends() -> None:
    sent = Caller("a", frozenset({"agent"}), "key", "correlation", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").headers(0)
    for request in (each for each in CONTRACTS if each.kind == "request"):
        operation = DOCUMENT["operations"][f"{request.service}.answers.{request.name}"]
        assert operation["action"] == "receive"
        assert resolve(operation["channel"])["address"] == request.subject
        (message,) = (resolve(each) for each in resolve(operation["channel"])["messages"].values())
        assert set(sent) <= set(resolve(message["traits"][0])["headers"]["properties"])
        (reply,) = (resolve(each) for each in resolve(operation["reply"]["channel"])["messages"].values())
        assert [list(form["properties"]) for form in reply["payload"]["oneOf"]] == [["ok"], ["problem"]]


def test_every_operation_of_every_service_is_there_none_lost_to_a_shared_name() -> None:
    topology = Topology.read()
    heard = sum(len(durable.subjects) for durable in topology.durables)

    assert len(DOCUMENT["operations"]) == heard + sum(1 for each in CONTRACTS if each.kind in {"event", "request"})


def test_every_field_of_every_event_says_what_it_means() -> None:
    assert fields_without_meaning(CONTRACTS) == []


def test_the_schema_of_an_event_is_found_by_the_dataschema_of_its_envelope() -> None:
    for event in (each for each in CONTRACTS if each.kind == "event"):
        published = json.loads((ROOT / f"docs/schemas/{event.name}.json").read_text())
        assert published["$id"] == f"urn:labo:schema:{event.name}"


@pytest.mark.parametrize("contract", [each for each in CONTRACTS if each.kind == "event"], ids=lambda each: each.name)
def test_P4_no_event_has_a_field_that_could_hold_a_person(contract: Any) -> None:
    for model, fields in _fields_within(contract.schema()):
        assert not fields & PERSONAL, f"{contract.name} {model}"
        assert "name" not in fields or model == "VenueSheet", f"{contract.name} {model}"  # a place has a name, a person has an id


def _fields_within(schema: dict[str, Any]) -> list[tuple[str, set[str]]]:
    definitions = {"": schema} | schema.get("$defs", {})
    return [(name, set(each.get("properties", {}))) for name, each in definitions.items()]


def test_subjects_follow_the_pattern_that_rights_are_written_for() -> None:
    for contract in CONTRACTS:
        kind = "evt" if contract.kind == "event" else "rpc"
        assert re.fullmatch(rf"{kind}\.(catalog|booking|projects|notify|gateway)\.[a-z_]+\.v[1-9]\d*", contract.subject)
        at_home = {f"shared.contracts.{module}" for module in HOMES.get(contract.service, (contract.service,))}
        assert contract.model.__module__ in at_home or contract.kind == "reply"
    assert all(request.reply_type() for request in Request.registry.values())
