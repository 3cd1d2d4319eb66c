"""What the services register when their modules are imported: requests, consumers, timers, refusals."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Sequence
from typing import TypeVar

import services
from shared.errors import Refused

T = TypeVar("T")


def import_everything() -> None:
    """Import every module of every service. `app` modules only wire, migrations are no packages."""
    for module in pkgutil.walk_packages(services.__path__, "services."):
        if not module.name.endswith(".app"):
            importlib.import_module(module.name)


def registered(kind: type[T]) -> Sequence[tuple[str, T]]:
    """The registries of one kind (`Requests`, `Consumers`, `Timers`), each with the name of its service."""
    import_everything()
    found: dict[int, tuple[str, T]] = {}
    for name, module in sorted(sys.modules.items()):
        if name.startswith("services."):
            found |= {id(value): (name.split(".")[1], value) for value in vars(module).values() if isinstance(value, kind)}
    return list(found.values())


def every_refusal() -> Sequence[type[Refused]]:
    """All refusals of the kernel and the services, by code."""
    import_everything()
    found: dict[str, type[Refused]] = {}
    waiting = list(Refused.__subclasses__())
    while waiting:
        refusal = waiting.pop()
        waiting += refusal.__subclasses__()
        if refusal.__module__.startswith(("shared.", "services.")):
            found[f"{refusal.code} {refusal.__module__}.{refusal.__qualname__}"] = refusal
    return [found[name] for name in sorted(found)]
