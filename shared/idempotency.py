"""Idempotency keys: the reply is stored with its effect, in one transaction, for 48 h. Only successes are kept: a refusal had no effect."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import Database, fetch
from shared.errors import KeyInUse, KeyReused, Refused

KEPT_FOR = timedelta(hours=48)
CONSTRAINT = "idempotency_key_pkey"


@dataclass(frozen=True, slots=True)
class Claim:
    """One caller's wish to do one thing once."""

    actor: str
    key: str
    operation: str
    fingerprint: str


def fingerprint(operation: str, body: bytes) -> str:
    return hashlib.sha256(operation.encode() + b"\0" + body).hexdigest()


_CLAIM = """
    select pg_try_advisory_xact_lock(hashtextextended(claim.actor || chr(31) || claim.key, 0)) as free,
           stored.operation, stored.fingerprint, cast(stored.reply as text) as reply
    from unnest($1::text[], $2::text[]) with ordinality as claim(actor, key, place)
    left join idempotency_key stored on stored.actor = claim.actor and stored.key = claim.key
    order by place
"""

_STORE = """
    insert into idempotency_key (actor, key, operation, fingerprint, reply)
    select actor, key, operation, fingerprint, cast(reply as jsonb)
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) as done(actor, key, operation, fingerprint, reply)
"""


async def claim(tx: AsyncConnection, claims: Sequence[Claim]) -> list[str | Refused | None]:
    """What to do with each claim: `None` go on; text, the stored reply (JSON); `KeyReused` for other content; `KeyInUse` while it runs.

    A key committed by someone else between the look and the lock shows later, as a broken constraint `CONSTRAINT`: try again then.
    """
    if not claims:
        return []
    found = await fetch(tx, _CLAIM, [each.actor for each in claims], [each.key for each in claims])
    answers: list[str | Refused | None] = []
    seen: set[tuple[str, str]] = set()
    for wanted, row in zip(claims, found, strict=True):
        if row["reply"] is not None:
            same = (row["operation"], row["fingerprint"]) == (wanted.operation, wanted.fingerprint)
            answers.append(row["reply"] if same else KeyReused(f"key of {row['operation']}"))
        elif not row["free"] or (wanted.actor, wanted.key) in seen:
            answers.append(KeyInUse())
        else:
            answers.append(None)
            seen.add((wanted.actor, wanted.key))
    return answers


async def store(tx: AsyncConnection, done: Sequence[tuple[Claim, str]]) -> None:
    """Keep the replies (JSON) of claims that were carried out."""
    if done:
        columns = [(each.actor, each.key, each.operation, each.fingerprint, reply) for each, reply in done]
        await fetch(tx, _STORE, *map(list, zip(*columns, strict=True)))


async def sweep(database: Database) -> None:
    """Forget keys older than 48 h."""
    async with database.begin() as tx:
        await tx.execute(
            text("delete from idempotency_key where created_at < clock_timestamp() - cast(:age as interval)"), {"age": KEPT_FOR}
        )
