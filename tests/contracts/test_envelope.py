"""The envelope is CloudEvents 1.0 for the world, and what cannot be read is told apart from what is wrong with us."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_binary, from_structured, to_structured
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.booking import BookingConfirmed, BookingState
from shared.contracts.messages import Envelope, Event, MalformedMessage, read_event

EVENT_ID = UUID("018f6b2e-0000-7000-8000-00000000e001")
AT_NINE = datetime(2027, 3, 1, 8, 0, 0, 123456, UTC)
FACT = BookingConfirmed(
    version=3,
    booking_id=UUID(int=1),
    session_id=UUID(int=2),
    agent_id=UUID(int=3),
    state=BookingState.CONFIRMED,
    session_sequence=12,
    decided_at=AT_NINE,
)
ENVELOPE = Envelope.of(
    FACT,
    event_id=EVENT_ID,
    time=AT_NINE,
    actor=str(UUID(int=3)),
    causationid=str(UUID(int=9)),
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)
BODY = FACT.model_dump_json().encode()


def structured(document: Mapping[str, object]) -> tuple[dict[str, str], bytes]:
    return {"Content-Type": "application/cloudevents+json; charset=utf-8"}, json.dumps(document).encode()


def a_structured_document(**changed: object) -> dict[str, object]:
    attributes = {name.removeprefix("ce-"): value for name, value in ENVELOPE.headers().items() if name.startswith("ce-")}
    return {**attributes, "datacontenttype": "application/json", "data": json.loads(BODY)} | changed


def test_the_public_cloudevents_package_reads_our_binary_mode() -> None:
    read = from_binary(HTTPMessage(ENVELOPE.headers(), BODY), JSONFormat())

    assert read.get_id() == str(EVENT_ID)
    assert read.get_source() == "/labo/booking"
    assert read.get_type() == "fr.labo.booking.booking_confirmed.v1"
    assert read.get_subject() == str(FACT.booking_id)
    assert read.get_time() == AT_NINE
    assert read.get_datacontenttype() == "application/json"
    assert read.get_dataschema() == "urn:labo:schema:booking.booking_confirmed.v1"
    assert read.get_extension("sequence") == "3"
    assert read.get_extension("correlationid") == str(EVENT_ID)
    assert read.get_data() == json.loads(BODY)


def test_we_read_the_structured_mode_that_the_public_package_writes() -> None:
    written = to_structured(from_binary(HTTPMessage(ENVELOPE.headers(), BODY), JSONFormat()), JSONFormat())

    envelope, event = read_event(written.headers, written.body)

    assert event == FACT
    assert (envelope.id, envelope.sequence, envelope.time, envelope.actor) == (EVENT_ID, 3, AT_NINE, ENVELOPE.actor)


def test_the_public_package_reads_the_structured_mode_that_we_accept() -> None:
    headers, body = structured(a_structured_document())

    assert from_structured(HTTPMessage(headers, body), JSONFormat()).get_data() == json.loads(BODY)
    assert read_event(headers, body)[1] == FACT


def test_what_we_write_we_read_whatever_the_case_of_header_names() -> None:
    headers = {name.upper(): value for name, value in ENVELOPE.headers().items()}

    assert read_event(headers, BODY) == (ENVELOPE, FACT)


def test_header_names_are_legal_cloudevents_attributes() -> None:
    attributes = [name.removeprefix("ce-") for name in ENVELOPE.headers() if name.startswith("ce-")]

    assert all(name.isalnum() and name.islower() and len(name) <= 20 for name in attributes)


def test_an_event_may_carry_members_that_this_release_does_not_know() -> None:
    newer = json.dumps(json.loads(BODY) | {"added_next_year": {"a": 1}}).encode()

    assert read_event(ENVELOPE.headers() | {"ce-addednextyear": "x"}, newer)[1] == FACT


def without(name: str) -> dict[str, str]:
    return {header: value for header, value in ENVELOPE.headers().items() if header != name}


MALFORMED: dict[str, tuple[Mapping[str, str], bytes, str]] = {
    "no headers": ({}, BODY, "specversion"),
    "another CloudEvents version": (ENVELOPE.headers() | {"ce-specversion": "0.3"}, BODY, "specversion"),
    "no id": (without("ce-id"), BODY, "'id'"),
    "no source": (without("ce-source"), BODY, "'source'"),
    "no type": (without("ce-type"), BODY, "'type'"),
    "no subject": (without("ce-subject"), BODY, "'subject'"),
    "no time": (without("ce-time"), BODY, "'time'"),
    "no sequence": (without("ce-sequence"), BODY, "'sequence'"),
    "an id that is no UUID": (ENVELOPE.headers() | {"ce-id": "17"}, BODY, "unreadable envelope"),
    "a time that is none": (ENVELOPE.headers() | {"ce-time": "yesterday"}, BODY, "unreadable envelope"),
    "a time without a zone": (ENVELOPE.headers() | {"ce-time": "2027-03-01T08:00:00"}, BODY, "unreadable envelope"),
    "a sequence that is no number": (ENVELOPE.headers() | {"ce-sequence": "third"}, BODY, "unreadable envelope"),
    "a type nobody knows": (ENVELOPE.headers() | {"ce-type": "fr.labo.booking.booking_vanished.v1"}, BODY, "unknown event type"),
    "a major version nobody knows": (ENVELOPE.headers() | {"ce-type": "fr.labo.booking.booking_confirmed.v9"}, BODY, "unknown event type"),
    "another service's name": (ENVELOPE.headers() | {"ce-source": "/labo/catalog"}, BODY, "cannot come from"),
    "another aggregate in the envelope": (ENVELOPE.headers() | {"ce-subject": str(UUID(int=8))}, BODY, "another aggregate"),
    "another version in the envelope": (ENVELOPE.headers() | {"ce-sequence": "4"}, BODY, "another aggregate or version"),
    "an empty body": (ENVELOPE.headers(), b"", "booking_confirmed"),
    "a body that is no JSON": (ENVELOPE.headers(), b"{", "booking_confirmed"),
    "a body that is no text": (ENVELOPE.headers(), b"\xff\xfe", "booking_confirmed"),
    "a body that is no object": (ENVELOPE.headers(), b"[1]", "booking_confirmed"),
    "a body without a field": (ENVELOPE.headers(), b'{"version": 3}', "booking_confirmed"),
    "a field of another type": (
        ENVELOPE.headers(),
        BODY.replace(b'"session_sequence":12', b'"session_sequence":"many"'),
        "session_sequence",
    ),
    "a state nobody knows": (ENVELOPE.headers(), BODY.replace(b'"confirmed"', b'"teleported"'), "state"),
    "version zero": (ENVELOPE.headers() | {"ce-sequence": "0"}, BODY.replace(b'"version":3', b'"version":0'), "version"),
    "structured, no JSON": ({"content-type": "application/cloudevents+json"}, b"{", "unreadable envelope"),
    "structured, a list": ({"content-type": "application/cloudevents+json"}, b"[]", "unreadable envelope"),
    "structured, no data": (*structured({"specversion": "1.0"}), "unreadable envelope"),
    "structured, no id": (*structured({"specversion": "1.0", "data": {}}), "'id'"),
    "structured, null type": (*structured(a_structured_document(type=None)), "unknown event type"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_message_that_cannot_be_read_is_malformed_and_says_why_without_quoting_it(case: str) -> None:
    headers, body, why = MALFORMED[case]

    with pytest.raises(MalformedMessage, match=why) as raised:
        read_event(headers, body)

    assert raised.value.code == "malformed_message"
    assert "teleported" not in str(raised.value)


some_headers = st.dictionaries(
    st.sampled_from([*ENVELOPE.headers(), "Content-Type", "x"]), st.one_of(st.text(), st.sampled_from(list(ENVELOPE.headers().values())))
)
some_body = st.one_of(st.binary(), st.just(BODY), st.dictionaries(st.text(), st.integers()).map(lambda each: json.dumps(each).encode()))


@given(headers=some_headers, body=some_body)
def test_no_message_whatsoever_raises_anything_but_malformed(headers: dict[str, str], body: bytes) -> None:
    try:
        _, event = read_event(headers, body)
    except MalformedMessage:
        return
    assert isinstance(event, Event)
