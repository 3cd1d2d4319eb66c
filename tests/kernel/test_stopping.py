"""A stop ends, whatever the loops are doing at that moment."""

from __future__ import annotations

import asyncio

import pytest

from shared import service
from shared.service import Process
from tests.conftest import eventually


async def test_a_loop_whose_library_swallows_a_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "CANCEL_AGAIN_SECONDS", 0.05)
    woken = asyncio.Event()
    rounds = 0

    async def loop() -> None:
        nonlocal rounds
        while True:
            try:
                await asyncio.wait_for(woken.wait(), 10)
            except asyncio.CancelledError:
                if rounds > 2:
                    raise
            rounds += 1  # as wait_for does in Python 3.11 when wake and cancellation come together

    task = asyncio.create_task(loop())
    await eventually(lambda: not task.done())

    await asyncio.wait_for(Process._cancel([task]), 5)

    assert task.cancelled()
