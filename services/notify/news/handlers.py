"""The weekly digest: a timer that sets itself again, from the first reader on, for as long as there is one."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.mail import store as mail_store
from services.notify.mail.domain import MailKind
from services.notify.mail.store import NewMail
from services.notify.news import store
from services.notify.news.domain import is_news_to, next_monday, worth_telling
from shared import clock, telemetry
from shared.timers import Timer, Timers, set_timer

timers = Timers()

KIND = "weekly_news"
A_WEEK = timedelta(days=7)


async def expect(tx: AsyncConnection) -> None:
    """There is a reader now: the next digest goes out on Monday, unless it is expected already."""
    if not await store.is_expected(tx):
        await _set(tx, since=await store.real_time(tx) - A_WEEK)


async def _set(tx: AsyncConnection, since: datetime) -> None:
    """`since` is real time, as is when catalog scheduled what: rebuilding notify makes nothing new."""
    await set_timer(tx, store.TIMER, next_monday(clock.now()), KIND, {"since": since.isoformat()})


@timers.on(KIND)
async def tell_the_news(timer: Timer, tx: AsyncConnection) -> None:
    readers, until = await store.readers(tx), await store.real_time(tx)
    if not readers:
        return
    found = worth_telling(await store.announced(tx, datetime.fromisoformat(timer.payload["since"]), until), clock.now())
    mails = [
        NewMail(
            key=f"news/{timer.due_at.isoformat()}/{reader.agent_id}",
            kind=MailKind.NEWS,
            agent_id=reader.agent_id,
            details={"session_ids": [session.session_id for session in theirs]},
            traceparent=telemetry.traceparent(),
        )
        for reader in readers
        if (theirs := [session for session in found if is_news_to(reader, session)])
    ]
    await mail_store.write(tx, mails)
    await _set(tx, since=until)
