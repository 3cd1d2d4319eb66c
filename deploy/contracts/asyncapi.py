"""One AsyncAPI 3 document for the whole house: events with their parameters and ce- headers, requests with their replies."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic.json_schema import models_json_schema

from deploy.contracts.schemas import Contract
from deploy.topology import Topology
from shared.contracts.messages import Event
from shared.errors import Problem

Document = dict[str, Any]

_TEXT: Document = {"type": "string"}
_UUID: Document = {"type": "string", "format": "uuid"}

PRIVATE_TOO = " What concerns one group only has a last token more, `.private`."

EVENT_HEADERS: Document = {
    "type": "object",
    "description": "CloudEvents 1.0 in binary mode: attributes are NATS headers, the body is the data.",
    "required": ["ce-specversion", "ce-id", "ce-source", "ce-type", "ce-subject", "ce-time", "ce-sequence", "content-type", "Nats-Msg-Id"],
    "properties": {
        "ce-specversion": {"type": "string", "const": "1.0"},
        "ce-id": {**_UUID, "description": "UUIDv7 of the event. Deduplicate by it: a refilled stream holds a second copy."},
        "ce-source": {**_TEXT, "description": "`/labo/<service>`, the service that owns the fact."},
        "ce-type": {**_TEXT, "description": "`fr.labo.<service>.<fact>.v<major>`."},
        "ce-subject": {**_UUID, "description": "Id of the aggregate, as in the NATS subject."},
        "ce-time": {**_TEXT, "format": "date-time", "description": "Real time of the decision, UTC."},
        "ce-sequence": {
            **_TEXT,
            "pattern": "^[1-9][0-9]*$",
            "description": "Version of the aggregate: apply an event only if it is newer.",
        },
        "ce-dataschema": {**_TEXT, "description": "`urn:labo:schema:<service>.<fact>.v<major>`, the `$id` of a file in docs/schemas."},
        "ce-correlationid": {**_UUID, "description": "Id shared by everything that one act set in motion."},
        "ce-causationid": {**_UUID, "description": "Id of the event that caused this one."},
        "ce-actor": {**_TEXT, "description": "Opaque id of who did it: an agent, or a system such as `operator`."},
        "content-type": {"type": "string", "const": "application/json"},
        "traceparent": {**_TEXT, "description": "W3C Trace Context."},
        "Nats-Msg-Id": {**_UUID, "description": "Same as ce-id; JetStream drops a repeat within 10 minutes."},
    },
}

REQUEST_HEADERS: Document = {
    "type": "object",
    "required": ["labo-actor", "labo-roles", "labo-deadline"],
    "properties": {
        "labo-actor": {**_TEXT, "description": "Opaque id of who asks: an agent, or a system such as `operator`."},
        "labo-roles": {**_TEXT, "description": "Roles of who asks, separated by spaces."},
        "labo-deadline": {**_TEXT, "description": "Unix time in seconds after which nobody waits for the answer."},
        "labo-correlationid": {**_TEXT, "description": "Id shared by everything that one act sets in motion."},
        "idempotency-key": {**_TEXT, "description": "Same key and body within 48 h: the same reply, and no second effect."},
        "traceparent": {**_TEXT, "description": "W3C Trace Context."},
    },
}


def document(contracts: Sequence[Contract], topology: Topology, version: str) -> Document:
    by_kind = {kind: [each for each in contracts if each.kind == kind] for kind in ("event", "request", "reply")}
    channels, operations, messages = Document(), Document(), Document()
    for event in by_kind["event"]:
        _add_event(event, channels, operations, messages)
    for durable in topology.durables:
        for name in durable.hears:
            _add_consumer(durable.name, name, operations)
    for request, reply in zip(by_kind["request"], by_kind["reply"], strict=True):
        _add_request(request, reply, channels, operations, messages)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Lab-O",
            "version": version,
            "description": "Domain events and requests of the five services. Generated from shared/contracts; do not edit.",
            "license": {"name": "EUPL-1.2"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "nats": {
                "host": "{host}:4222",
                "protocol": "nats",
                "description": "One user per service, allowed its own subjects and its own named consumers only.",
                "variables": {"host": {"default": "127.0.0.1"}},
                "security": [{"$ref": "#/components/securitySchemes/user"}],
            }
        },
        "channels": channels,
        "operations": operations,
        "components": {
            "securitySchemes": {"user": {"type": "userPassword"}},
            "messageTraits": {"event": {"headers": EVENT_HEADERS}, "request": {"headers": REQUEST_HEADERS}},
            "messages": messages,
            "schemas": _schemas(contracts),
        },
    }


def _schemas(contracts: Sequence[Contract]) -> Document:
    models = {each.model: None for each in contracts} | {Problem: None}
    _, definitions = models_json_schema([(model, "validation") for model in models], ref_template="#/components/schemas/{model}")
    return _without_discriminators(dict(sorted(definitions["$defs"].items())))


def _without_discriminators(node: Any) -> Any:
    """OpenAPI writes an object there, AsyncAPI a string; the constants of a union tell its members apart in both."""
    if isinstance(node, dict):
        members = cast("Document", node).items()
        return {name: _without_discriminators(each) for name, each in members if not (name == "discriminator" and isinstance(each, dict))}
    return [_without_discriminators(each) for each in cast("list[Any]", node)] if isinstance(node, list) else node


def _add_event(event: Contract, channels: Document, operations: Document, messages: Document) -> None:
    model = event.model
    if not issubclass(model, Event):
        raise TypeError(event.name)
    parameter = f"{model.aggregate}_id"
    channels[event.name] = {
        "address": f"{event.subject}.{{{parameter}}}",
        "description": f"Stream {model.stream()}." + (PRIVATE_TOO if model.heard().endswith(">") else ""),
        "parameters": {parameter: {"description": f"UUID of the {model.aggregate}, also in ce-subject."}},
        "messages": {model.__name__: {"$ref": f"#/components/messages/{event.name}"}},
    }
    operations[f"{event.service}.publishes.{event.name}"] = {
        "action": "send",
        "channel": {"$ref": f"#/channels/{event.name}"},
        "summary": _first_sentence(model),
        "tags": [{"name": event.service}],
    }
    messages[event.name] = _message(event) | {
        "traits": [{"$ref": "#/components/messageTraits/event"}],
        "correlationId": {"location": "$message.header#/ce-correlationid"},
    }


def _add_consumer(durable: str, name: str, operations: Document) -> None:
    operations[f"{durable}.hears.{name}"] = {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{name}"},
        "summary": f"Durable consumer {durable}.",
        "tags": [{"name": durable.partition("-")[0]}],
    }


def _add_request(request: Contract, reply: Contract, channels: Document, operations: Document, messages: Document) -> None:
    answer = {
        "oneOf": [
            {"type": "object", "required": ["ok"], "properties": {"ok": _reference(reply.model)}},
            {"type": "object", "required": ["problem"], "properties": {"problem": _reference(Problem)}},
        ]
    }
    channels[request.name] = {
        "address": request.subject,
        "description": f"Queue group of the service labo-{request.service} (NATS Services API).",
        "messages": {request.model.__name__: {"$ref": f"#/components/messages/{request.name}"}},
    }
    channels[reply.name] = {
        "address": None,
        "description": "The inbox that the request named.",
        "messages": {f"{request.model.__name__}Reply": {"$ref": f"#/components/messages/{reply.name}"}},
    }
    operations[f"{request.service}.answers.{request.name}"] = {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{request.name}"},
        "summary": _first_sentence(request.model),
        "description": inspect.cleandoc(request.model.__doc__ or ""),
        "tags": [{"name": request.service}],
        "reply": {"channel": {"$ref": f"#/channels/{reply.name}"}},
    }
    messages[request.name] = _message(request) | {"traits": [{"$ref": "#/components/messageTraits/request"}]}
    example: Mapping[str, Any] = {"payload": {"ok": reply.sample()}}
    messages[reply.name] = {"name": reply.name, "payload": answer, "examples": [example]}


def _message(contract: Contract) -> Document:
    return {
        "name": contract.name,
        "title": contract.model.__name__,
        "summary": _first_sentence(contract.model),
        "contentType": "application/json",
        "payload": _reference(contract.model),
        "examples": [{"payload": contract.sample()}],
    }


def _reference(model: type[Any]) -> Document:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _first_sentence(model: type[Any]) -> str:
    text = " ".join(inspect.cleandoc(model.__dict__.get("__doc__") or words_of(model)).split())
    return re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0]


def words_of(model: type[Any]) -> str:
    """The name of a message as words, for one that says no more: `SubmitApplication` is “Submit application.”."""
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", model.__name__)
    return words.capitalize() + "."
