from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from shared.database import Database
from tests.projects.given import DEMONSTRATION, shift_to


@pytest.fixture
async def projects(database: Callable[[str], Awaitable[Database]]) -> Database:
    """The schema of projects in a fresh database, on the day when the demonstration starts."""
    shift_to(DEMONSTRATION)
    return await database("projects")
