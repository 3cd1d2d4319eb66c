"""What every message on the bus is made of: events, requests, replies and the CloudEvents envelope.

Messages are frozen. Readers ignore members they do not know, so that a newer producer can add optional ones within a major version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

SOURCE_PREFIX = "/labo/"
TYPE_PREFIX = "fr.labo."


class Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True, hide_input_in_errors=True)


ReplyT = TypeVar("ReplyT", bound=Message)


class Event(Message):
    """A fact of one aggregate: its public state after the change, and what changed. Ids only, never a name (P4).

    `subject` is written `evt.<service>.<fact>.v<major>`; the aggregate's id is added when it is published. The id is the field
    named `<aggregate>_id`, and followed by `.private` where the fact concerns one group only.
    """

    subject: ClassVar[str]
    aggregate: ClassVar[str]
    registry: ClassVar[dict[str, type[Event]]] = {}

    version: Annotated[int, Field(ge=1)]
    """Version of the aggregate after this change: 1, 2, 3… without a gap. Travels as `ce-sequence` too."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if "subject" in cls.__dict__:
            Event.registry[cls.type_name()] = cls

    @property
    def aggregate_id(self) -> UUID:
        return getattr(self, f"{self.aggregate}_id")

    @property
    def is_private(self) -> bool:
        """Whether it concerns one group only (G4): nothing that the public stream may carry."""
        return False

    @property
    def address(self) -> str:
        """Where it is published. What is private has a token more, so that no subject of the public stream matches it."""
        public = f"{self.subject}.{self.aggregate_id}"
        return f"{public}.private" if self.is_private else public

    @classmethod
    def heard(cls) -> str:
        """The subjects under which all of these facts are published."""
        return f"{cls.subject}.{'*' if cls.is_private is Event.is_private else '>'}"

    @classmethod
    def service(cls) -> str:
        return cls.subject.split(".")[1]

    @classmethod
    def type_name(cls) -> str:
        """CloudEvents type: `fr.labo.booking.booking_confirmed.v1`."""
        return TYPE_PREFIX + cls.subject.removeprefix("evt.")

    @classmethod
    def stream(cls) -> str:
        return f"EVT_{cls.service().upper()}"


class Request(Message, Generic[ReplyT]):
    """A question or an order to one service, written `rpc.<service>.<operation>.v<major>`. `Request[X]` is answered by an X."""

    subject: ClassVar[str]
    registry: ClassVar[dict[str, type[Request[Any]]]] = {}

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if "subject" in cls.__dict__:
            Request.registry[cls.subject] = cls

    @classmethod
    def service(cls) -> str:
        return cls.subject.split(".")[1]

    @classmethod
    def operation(cls) -> str:
        return cls.subject.split(".")[2]

    @classmethod
    def reply_type(cls) -> type[ReplyT]:
        for base in cls.__mro__:
            if arguments := getattr(base, "__pydantic_generic_metadata__", {}).get("args"):
                return arguments[0]
        raise TypeError(f"{cls.__name__} names no reply: write `class {cls.__name__}(Request[Reply])`")


class Acknowledged(Message):
    """The order was carried out and there is nothing more to say than the aggregate's new version."""

    version: int


class MalformedMessage(ValueError):
    """A message that cannot be read: not JSON, no envelope, or not of the type it claims. It is parked, never retried."""

    code = "malformed_message"


@dataclass(frozen=True, slots=True)
class Envelope:
    """CloudEvents 1.0 attributes of an event, as NATS headers (binary mode) or inside a JSON document (structured mode).

    `actor` is an opaque id. `time` is real time (UTC), not the demonstration's clock.
    """

    id: UUID
    source: str
    type: str
    subject: str
    time: datetime
    sequence: int
    dataschema: str | None = None
    correlationid: str | None = None
    causationid: str | None = None
    actor: str | None = None
    traceparent: str | None = None

    @classmethod
    def of(
        cls,
        event: Event,
        *,
        event_id: UUID,
        time: datetime,
        actor: str | None = None,
        correlationid: str | None = None,
        causationid: str | None = None,
        traceparent: str | None = None,
    ) -> Self:
        name = event.type_name()
        return cls(
            id=event_id,
            source=SOURCE_PREFIX + event.service(),
            type=name,
            subject=str(event.aggregate_id),
            time=time,
            sequence=event.version,
            dataschema=f"urn:labo:schema:{name.removeprefix(TYPE_PREFIX)}",
            correlationid=correlationid or str(event_id),
            causationid=causationid,
            actor=actor,
            traceparent=traceparent,
        )

    def headers(self) -> dict[str, str]:
        """NATS headers of binary mode, with the id a second time as `Nats-Msg-Id` for the stream's deduplication."""
        headers = {
            "ce-specversion": "1.0",
            "ce-id": str(self.id),
            "ce-source": self.source,
            "ce-type": self.type,
            "ce-subject": self.subject,
            "ce-time": self.time.isoformat().replace("+00:00", "Z"),
            "ce-sequence": str(self.sequence),
            "content-type": "application/json",
            "Nats-Msg-Id": str(self.id),
        }
        for name in ("dataschema", "correlationid", "causationid", "actor"):
            if value := getattr(self, name):
                headers[f"ce-{name}"] = value
        if self.traceparent:
            headers["traceparent"] = self.traceparent
        return headers

    @classmethod
    def read(cls, headers: Mapping[str, str], body: bytes) -> tuple[Self, bytes]:
        """The envelope and the JSON data of a message in binary or structured mode; `MalformedMessage` says what is wrong."""
        lowered = {name.lower(): value for name, value in headers.items()}
        try:
            if lowered.get("content-type", "").startswith("application/cloudevents+json"):
                attributes, data = _structured(body)
            else:
                attributes = {name.removeprefix("ce-"): value for name, value in lowered.items() if name.startswith("ce-")}
                data = body
            if attributes.get("specversion") != "1.0":
                raise MalformedMessage("not a CloudEvents 1.0 message: ce-specversion is missing or another")
            return cls(
                id=UUID(attributes["id"]),
                source=attributes["source"],
                type=attributes["type"],
                subject=attributes["subject"],
                time=_TIME.validate_strings(attributes["time"]),
                sequence=int(attributes["sequence"]),
                dataschema=attributes.get("dataschema"),
                correlationid=attributes.get("correlationid"),
                causationid=attributes.get("causationid"),
                actor=attributes.get("actor"),
                traceparent=lowered.get("traceparent") or attributes.get("traceparent"),
            ), data
        except KeyError as missing:
            raise MalformedMessage(f"the envelope lacks {missing}") from missing
        except MalformedMessage:
            raise
        except ValueError as wrong:
            raise MalformedMessage(f"unreadable envelope: {wrong}") from wrong


class _Structured(BaseModel):
    model_config = ConfigDict(extra="allow")
    data: Any


_TIME: TypeAdapter[AwareDatetime] = TypeAdapter(AwareDatetime)


def _structured(body: bytes) -> tuple[dict[str, str], bytes]:
    document = _Structured.model_validate_json(body)
    attributes = {name: str(value) for name, value in (document.model_extra or {}).items()}
    return attributes, TypeAdapter(Any).dump_json(document.data)


def read_event(headers: Mapping[str, str], body: bytes) -> tuple[Envelope, Event]:
    """The envelope and the event it carries; `MalformedMessage` when either cannot be read or they contradict each other."""
    envelope, data = Envelope.read(headers, body)
    event_type = Event.registry.get(envelope.type)
    if event_type is None:
        raise MalformedMessage(f"unknown event type {envelope.type}")
    try:
        event = event_type.model_validate_json(data)
    except ValueError as wrong:
        raise MalformedMessage(f"{envelope.type} {envelope.id}: {wrong}") from wrong
    if envelope.source != SOURCE_PREFIX + event.service():
        raise MalformedMessage(f"{envelope.type} cannot come from {envelope.source}")
    if envelope.subject != str(event.aggregate_id) or envelope.sequence != event.version:
        raise MalformedMessage(f"{envelope.type} {envelope.id}: the envelope and the body name another aggregate or version")
    return envelope, event
