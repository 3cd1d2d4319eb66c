from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from shared.database import Database


@pytest.fixture
async def booking(database: Callable[[str], Awaitable[Database]]) -> Database:
    """Booking's own schema in a fresh database."""
    return await database("booking")
