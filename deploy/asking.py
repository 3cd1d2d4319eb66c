"""How the commands of `labo` ask and answer: on the database or the bus of the target, for a person or for a program."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.target import find
from shared.bus import Bus, Caller

T = TypeVar("T")
AsJson = Annotated[bool, typer.Option("--json", help="for programs")]
OPERATOR = Caller(actor="operator", roles=frozenset({"operator"}))
console = Console()


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def on_database(work: Callable[[AsyncEngine], Awaitable[T]]) -> T:
    """What `work` finds or does in the database, as its owner."""

    async def connected() -> T:
        async with find().database() as engine:
            return await work(engine)

    return run(connected())


def on_bus(work: Callable[[Bus], Awaitable[T]]) -> T:
    """What services answer the operator."""

    async def connected() -> T:
        async with find().bus() as bus:
            return await work(bus)

    return run(connected())


def print_json(document: object) -> None:
    print(json.dumps(document, ensure_ascii=False, indent=2, default=str))
