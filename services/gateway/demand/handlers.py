"""A search that found no seat is recorded; the lab reads what was searched in vain."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request

from services.gateway.demand import domain, store
from services.gateway.desk import Desk
from services.gateway.login.principal import address_of
from services.gateway.programme import queries
from services.gateway.programme.queries import Filters
from shared import clock, outbox
from shared.bus import Caller
from shared.contracts.gateway import Demand, ListDemand, Wanted
from shared.database import Database
from shared.errors import NotAllowed
from shared.requests import Requests

requests = Requests()


@requests.query(ListDemand)
async def list_demand(request: ListDemand, caller: Caller, database: Database) -> Demand:
    if not caller.has("operator", "lab_team"):
        raise NotAllowed(f"{caller.actor} is not of the lab")
    async with database.connect() as connection:
        return await store.read(connection, request.days)


async def heard(desk: Desk, request: Request, filters: Filters) -> bool:
    """To be called when a search found nothing: True when it was recorded, that is, not said by this visitor today."""
    search = domain.wanted(
        Wanted(
            words=filters.words,
            activity_type=filters.activity_type,
            delivery_mode=filters.delivery_mode,
            department=filters.department,
            theme=filters.theme,
        )
    )
    if search is None or not desk.ear.hears(address_of(request), search):
        return False
    async with desk.database.begin() as tx:
        await _record(tx, search, await queries.count_hidden(tx, replace(filters, only_free=True)))
    return True


async def _record(tx: AsyncConnection, search: Wanted, hidden: int) -> None:
    fact = domain.signal(outbox.uuid7(), search, hidden, clock.now())
    await store.insert(tx, fact)
    await outbox.record(tx, fact, cause=Caller("gateway"))
