"""Without a fault nothing is wrong, and the reading sees the load in every place: a blind reading finds nothing either."""

from __future__ import annotations

from tests.conftest import eventually
from tests.faults import notebook, reading
from tests.faults.load import Load
from tests.faults.stage import Stage
from tests.faults.table import Report


async def test_no_fault_no_violation_and_every_place_is_read(stage: Stage, load: Load, report: Report) -> None:
    await stage.start("booking-1", "notify-1")
    async with load:
        await eventually(lambda: len(load.history.acknowledged) > 110, 60)

    found = await reading.violations(stage, load.history)

    assert len(load.history.acknowledged) == len(load.history.attempted) > 100
    assert len(load.history.cancelled) > 10
    assert await reading.number(stage.notify, f"ledger where consumer = '{notebook.EFFECT}'") > 100
    assert len(stage.sink.messages) > 100
    report.fault("none", 0, found, f"{len(load.history.attempted)} orders, {dict(load.history.retries)}")
