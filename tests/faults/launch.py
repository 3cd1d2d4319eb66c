"""Start a service as the tests need it: `python -m tests.faults.launch booking|notify`, with the bug that `LABO_PLANTED_BUG` names."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

from services.booking import app as booking
from shared import faults
from tests.faults import notebook, planted

STARTS = {"booking": booking.main, "notify": notebook.main}


def tell_where_it_waits(*_: Any) -> None:
    """`kill -USR1` shows in the log what each task of a process that hangs is waiting for."""
    for task in asyncio.all_tasks():
        print(f"--- {task.get_name()}", file=sys.stderr)
        waiting: Any = task.get_coro()
        while (frame := getattr(waiting, "cr_frame", None)) is not None:
            print(f"    {frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}", file=sys.stderr)
            waiting = waiting.cr_await
    sys.stderr.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, tell_where_it_waits)
    if bug := faults.planted_bug():
        planted.BUGS[bug]()
    STARTS[sys.argv[1]]()
