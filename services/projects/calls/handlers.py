"""Applications: submitted by agents, decided by the committee."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from services.projects.calls import domain, queries, store
from shared import clock, outbox
from shared.bus import Caller
from shared.contracts.projects import Application, DecideApplication, SubmitApplication
from shared.requests import Requests

requests = Requests()


@requests.command(SubmitApplication)
async def submit_application(request: SubmitApplication, caller: Caller, tx: AsyncConnection) -> Application:
    domain.check_may_submit(request, caller.actor, caller.roles)
    application, fact = domain.submit(request, clock.now())
    if not await store.insert_application(tx, application):
        earlier = await queries.read_application(tx, request.application_id)
        if earlier is None or not domain.is_what_was_asked(earlier, request):
            raise domain.ApplicationExists(f"application {request.application_id} has another content")
        return earlier
    await outbox.record(tx, fact, cause=caller)
    return application


@requests.command(DecideApplication)
async def decide_application(request: DecideApplication, caller: Caller, tx: AsyncConnection) -> Application:
    domain.check_may_decide(caller.roles)
    if (before := await store.lock_application(tx, request.application_id)) is None:
        raise domain.ApplicationUnknown(f"no application {request.application_id}")
    application, fact = domain.decide(before, request, clock.now())
    await store.record_decision(tx, application)
    await outbox.record(tx, fact, cause=caller)
    return application
