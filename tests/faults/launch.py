"""Start a service as the tests need it: `python -m tests.faults.launch booking|notify`, with the bug that `LABO_PLANTED_BUG` names."""

from __future__ import annotations

import sys

from services.booking import app as booking
from shared import faults
from tests.faults import notebook, planted

STARTS = {"booking": booking.main, "notify": notebook.main}


if __name__ == "__main__":
    if bug := faults.planted_bug():
        planted.BUGS[bug]()
    STARTS[sys.argv[1]]()
