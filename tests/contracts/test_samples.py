"""One committed sample per message: what was once sent, today's models, schemas and consumers still accept."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import uuid4

import jsonschema
import pytest

from deploy.contracts.house import registered
from deploy.contracts.schemas import SAMPLES, Contract, every_contract
from deploy.topology import Topology
from shared.consumers import Consumers
from shared.contracts.messages import Envelope, Event, read_event

CONTRACTS = {contract.name: contract for contract in every_contract()}
EVENTS = [name for name, contract in CONTRACTS.items() if contract.kind == "event"]


def test_every_message_has_its_sample_and_every_sample_its_message() -> None:
    assert {file.name.removesuffix(".json") for file in SAMPLES.glob("*.json")} == set(CONTRACTS)


@pytest.mark.parametrize("name", CONTRACTS)
def test_the_sample_is_accepted_whole_by_the_model_and_by_its_published_schema(name: str) -> None:
    contract = CONTRACTS[name]
    sample = contract.sample()

    read = contract.model.model_validate_json(json.dumps(sample))

    assert json.loads(read.model_dump_json(exclude_unset=True)) == sample
    schema = contract.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(sample)


def delivered(contract: Contract) -> tuple[dict[str, str], bytes]:
    """The sample as a consumer gets it from the stream."""
    body = json.dumps(contract.sample()).encode()
    event = contract.model.model_validate_json(body)
    assert isinstance(event, Event)
    return Envelope.of(event, event_id=uuid4(), time=datetime.now(UTC), actor="labo").headers(), body


@pytest.mark.parametrize("name", EVENTS)
def test_the_sample_of_an_event_can_be_read_from_the_stream(name: str) -> None:
    contract = CONTRACTS[name]

    envelope, event = read_event(*delivered(contract))

    assert type(event) is contract.model
    assert envelope.dataschema == contract.schema()["$id"]


def test_every_consumer_accepts_the_sample_of_every_event_it_hears() -> None:
    hears = {(durable.name, name) for durable in Topology.read().durables for name in durable.hears}
    consumers = {consumer.durable: consumer for _, each in registered(Consumers) for consumer in each.all}
    assert hears

    for durable, name in hears:
        _, event = read_event(*delivered(CONTRACTS[name]))
        assert durable not in consumers or type(event) in consumers[durable].events
