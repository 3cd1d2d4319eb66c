"""The tables of the bot, and the only SQL that writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.tchap.domain import GIVEN_UP_AFTER, KEPT_FOR, STALE_AFTER, Answer, Kind, News, Verdict
from shared.contracts.catalog import SessionState

LEASE = timedelta(seconds=60)  # longer than the longest attempt

_HEAR = text(
    """
    insert into tchap_news (session_id, version, kind, session) values (:session_id, :version, :kind, cast(:session as jsonb))
    on conflict (session_id, version) do nothing
    """
)


async def hear(tx: AsyncConnection, news: Sequence[News]) -> None:
    rows = [
        {
            "session_id": each.session.session_id,
            "version": each.session.version,
            "kind": each.kind,
            "session": each.session.model_dump_json(),
        }
        for each in news
    ]
    if rows:
        await tx.execute(_HEAR, rows)


# One process at a time, so that what two of them see is not told in two messages.
_LOCK = text("select pg_advisory_xact_lock(hashtextextended('tchap', 0))")
_GATHER = text(
    """
    delete from tchap_news
    where (select min(heard_at) from tchap_news) <= clock_timestamp() - cast(:wait as interval)
    returning kind, session, heard_at > clock_timestamp() - cast(:stale as interval) as fresh
    """
)


async def gather(tx: AsyncConnection, wait: timedelta) -> list[News]:
    """All the news that wait, once the first of them has waited long enough. They are taken away: write the message in this transaction."""
    await tx.execute(_LOCK)
    rows = (await tx.execute(_GATHER, {"wait": wait, "stale": STALE_AFTER})).all()
    return [News(Kind(row.kind), SessionState.model_validate(row.session)) for row in rows if row.fresh]


_WRITE = text("insert into tchap_post (body, formatted_body) values (:body, :formatted_body)")
_FORGET = text("delete from tchap_post where created_at < clock_timestamp() - cast(:age as interval)")


async def write(tx: AsyncConnection, body: str, formatted_body: str) -> None:
    """One more message that waits; those of a month ago go (P1)."""
    await tx.execute(_WRITE, {"body": body, "formatted_body": formatted_body})
    await tx.execute(_FORGET, {"age": KEPT_FOR})


@dataclass(frozen=True, slots=True)
class Post:
    post_id: UUID
    lease: UUID
    body: str
    formatted_body: str
    attempts: int


_GIVE_UP = text(
    """
    update tchap_post set state = 'failed', leased_until = null
    where state = 'waiting' and created_at < clock_timestamp() - cast(:age as interval)
      and (leased_until is null or leased_until < clock_timestamp())
    """
)
# The oldest or none: a room reads in order, and a server that wants to be left alone is left alone.
_CLAIM = text(
    """
    update tchap_post set lease = uuidv7(), leased_until = clock_timestamp() + cast(:lease as interval)
    where post_id = (select post_id from tchap_post where state = 'waiting' order by post_id limit 1)
      and state = 'waiting' and next_attempt_at <= clock_timestamp() and (leased_until is null or leased_until < clock_timestamp())
    returning post_id, lease, body, formatted_body, attempts
    """
)


async def give_up(tx: AsyncConnection) -> int:
    return (await tx.execute(_GIVE_UP, {"age": GIVEN_UP_AFTER})).rowcount


async def claim(tx: AsyncConnection) -> Post | None:
    row = (await tx.execute(_CLAIM, {"lease": LEASE})).mappings().one_or_none()
    return Post(**row) if row else None


_SETTLE = text(
    """
    update tchap_post
    set state = :state, status = :status, attempts = attempts + 1, leased_until = null,
        next_attempt_at = clock_timestamp() + cast(:pause as interval)
    where post_id = :post_id and lease = :lease
    """
)


async def settle(tx: AsyncConnection, post: Post, answer: Answer, pause: timedelta) -> None:
    verdict = answer.verdict
    state = verdict.value if verdict in {Verdict.SENT, Verdict.FAILED} else "waiting"
    values = {"post_id": post.post_id, "lease": post.lease, "state": state, "status": answer.status, "pause": pause}
    await tx.execute(_SETTLE, values)
