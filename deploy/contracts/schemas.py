"""Every message of the house as a JSON Schema, made from the models that the services use."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import shared.contracts
from shared.contracts.messages import Event, Message, Request

ROOT = Path(__file__).parents[2]
RELEASED = ROOT / "shared/contracts/released"
SAMPLES = ROOT / "shared/contracts/samples"

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Contract:
    """One message as others see it. `name` is `booking.booking_confirmed.v1`, `booking.book_seat.v1` or `booking.book_seat.v1.reply`."""

    name: str
    kind: Literal["event", "request", "reply"]
    model: type[Message]
    subject: str

    @property
    def service(self) -> str:
        return self.name.split(".")[0]

    def schema(self) -> dict[str, Any]:
        """What a reader accepts, in JSON Schema 2020-12. For events `$id` is the `ce-dataschema` of their envelopes."""
        body = self.model.model_json_schema(mode="validation")
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": f"urn:labo:schema:{self.name}",
            "x-subject": self.subject,
            **body,
        }

    def sample(self) -> Any:
        """The committed sample: what somebody once sent, and everybody must still accept."""
        return json.loads((SAMPLES / f"{self.name}.json").read_text())


def every_contract() -> Sequence[Contract]:
    """All events, requests and replies of `shared.contracts`, by name."""
    for module in pkgutil.iter_modules(shared.contracts.__path__):
        importlib.import_module(f"shared.contracts.{module.name}")
    found = [
        Contract(event.subject.removeprefix("evt."), "event", event, event.subject) for event in Event.registry.values() if _ours(event)
    ]
    for request in Request.registry.values():
        if _ours(request):
            name = request.subject.removeprefix("rpc.")
            found.append(Contract(name, "request", request, request.subject))
            found.append(Contract(f"{name}.reply", "reply", request.reply_type(), request.subject))
    if len({contract.name for contract in found}) < len(found):
        raise ValueError("an event and a request, or two of a kind, have the same name")
    return sorted(found, key=lambda contract: contract.name)


def _ours(model: type[Message]) -> bool:
    return model.__module__.startswith("shared.contracts.")  # tests register messages of their own


def as_text(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def read_folder(folder: Path) -> dict[str, Any]:
    """The JSON documents of a folder, by name."""
    return {file.name.removesuffix(".json"): json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))}
