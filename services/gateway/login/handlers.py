"""Tokens for scripts on the embedded stack, and the sweep of what is over."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from services.gateway.directory import store as directory
from services.gateway.directory.domain import AgentUnknown
from services.gateway.login import store
from services.gateway.settings import GatewaySettings
from shared.bus import Caller
from shared.contracts.gateway import DemoToken, IssueDemoToken
from shared.database import Database
from shared.errors import NotAllowed, Refused
from shared.requests import Requests
from shared.service import Context

DEMO_TOKEN_LIFE = timedelta(hours=12)
SWEEP_SECONDS = 3600.0


class NotInProduction(Refused):
    code, status, title = "not_in_production", 403, "Ces jetons n'existent que sur la démonstration."


requests = Requests()


# A query to the kernel, although it writes: the reply of a command is stored beside its idempotency key, and this reply is a secret.
@requests.query(IssueDemoToken)
async def issue_demo_token(request: IssueDemoToken, caller: Caller, database: Database) -> DemoToken:
    if not GatewaySettings().demonstration:
        raise NotInProduction("a production process issues no demonstration token")
    if not caller.has("operator"):
        raise NotAllowed(f"{caller.actor} issues no token")
    async with database.begin() as tx:
        agent = await directory.read_by_sub(tx, request.sub)
        if agent is None:
            raise AgentUnknown("no agent has this sub")
        token = await store.add_token(tx, agent.agent_id, DEMO_TOKEN_LIFE)
    return DemoToken(token=token, agent_id=agent.agent_id, expires_in=int(DEMO_TOKEN_LIFE.total_seconds()))


async def sweep_logins(context: Context) -> None:
    while True:
        async with context.database.begin() as tx:
            await store.sweep(tx)
        await asyncio.sleep(SWEEP_SECONDS)
