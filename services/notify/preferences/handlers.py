"""An agent's choices: read, and changed by the agent or an operator."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.news import handlers as news
from services.notify.preferences import store
from shared import telemetry
from shared.bus import Caller
from shared.contracts.preferences import GetPreferences, Preferences, SetPreferences
from shared.database import Database
from shared.errors import NotAllowed, VersionConflict
from shared.requests import Requests

requests = Requests()


@requests.query(GetPreferences)
async def get_preferences(request: GetPreferences, caller: Caller, database: Database) -> Preferences:
    _is_their_own(caller, request.agent_id)
    async with database.connect() as connection:
        return await store.read(connection, request.agent_id)


@requests.command(SetPreferences)
async def set_preferences(request: SetPreferences, caller: Caller, tx: AsyncConnection) -> Preferences:
    _is_their_own(caller, request.agent_id)
    known = await store.read_locked(tx, request.agent_id)
    if request.expected_version not in (None, known.version):
        raise VersionConflict(f"preferences are at version {known.version}")
    chosen = await store.change(tx, known, request)
    if chosen.news == "digest":
        await news.expect(tx)
    telemetry.log.info("preferences_set", agent_id=str(request.agent_id), version=chosen.version)
    return chosen


def _is_their_own(caller: Caller, agent_id: UUID) -> None:
    if not caller.is_agent(agent_id) and not caller.has("operator"):
        raise NotAllowed("agents choose for themselves")
