"""Mails that came back: reported by whoever reads the reply address; told to the agent, who has a portal, and to the operator."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.bounces import store
from services.notify.bounces.domain import read_report
from shared import clock, outbox, telemetry
from shared.bus import Caller
from shared.consumers import Consumers, Received
from shared.contracts.bounces import BounceNoted, GetReachability, Reachability, ReportBounce
from shared.contracts.gateway import AgentChanged
from shared.contracts.notify import DeliveryBounced
from shared.database import Database, is_infrastructure
from shared.errors import NotAllowed
from shared.requests import Requests
from shared.service import Context
from shared.timers import beat

requests = Requests()
events = Consumers()

A_YEAR = timedelta(days=365)
A_DAY_SECONDS, SOON_SECONDS = 86_400.0, 60.0


@requests.command(ReportBounce)
async def report_bounce(request: ReportBounce, caller: Caller, tx: AsyncConnection) -> BounceNoted:
    if not caller.has("operator"):
        raise NotAllowed(f"{caller.actor} reads no mailbox of the lab")
    report = read_report(request.report)
    if report is None:
        return BounceNoted(verdict="not_a_report")
    mail_id = UUID(report.mail_id)
    if await store.state_of(tx, mail_id) is None:
        return BounceNoted(verdict="mail_unknown")
    if report.verdict == "delayed":
        await store.delayed(tx, mail_id, f"{report.status} delayed, said a report")
    elif report.verdict == "bounced" and (found := await store.bounced(tx, mail_id, f"{report.status} refused, said a report")) is not None:
        await store.mark(tx, found.agent_id, mail_id)
        fact = DeliveryBounced(version=found.bounces, mail_id=mail_id, agent_id=found.agent_id, kind=found.kind)
        await outbox.record(tx, fact, cause=caller)
        telemetry.log.warning("mail_came_back", mail_id=str(mail_id), status=report.status)
    return BounceNoted(verdict=report.verdict, mail_id=mail_id)


@requests.query(GetReachability)
async def get_reachability(request: GetReachability, caller: Caller, database: Database) -> Reachability:
    if not caller.is_agent(request.agent_id) and not caller.has("operator"):
        raise NotAllowed("agents read of their own mail only")
    async with database.connect() as connection:
        return Reachability(agent_id=request.agent_id, undeliverable_since=await store.since(connection, request.agent_id))


@events.effect("notify-agents", AgentChanged)
async def follow_agent(received: Received[AgentChanged], tx: AsyncConnection) -> None:
    """What is known of an agent changed, the address perhaps: the next mail will show."""
    await store.clear(tx, received.event.agent_id)


async def forget_old_mails(context: Context) -> None:
    """Once a day, with a heart of its own: `retention` (P1)."""
    while True:
        pause = A_DAY_SECONDS
        try:
            async with context.database.begin() as tx:
                gone = await store.forget(tx, clock.now(), A_YEAR)
            await beat(context.database, "retention")
            telemetry.log.info("old_mails_forgotten", **gone)
        except Exception as error:
            if not is_infrastructure(error):
                raise
            pause = SOON_SECONDS
        await asyncio.sleep(pause)
