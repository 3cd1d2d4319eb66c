"""Sessions, attempts and tokens. The browser or script holds a random secret; only its hash is stored. Leases are in real time."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.directory import store as directory
from services.gateway.directory.domain import Agent
from services.gateway.login.provider import Attempt
from shared.database import Database

ATTEMPT_LIFE = timedelta(minutes=10)
SEEN_EVERY = timedelta(minutes=5)

Tone = Literal["success", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Flash:
    """A sentence shown once, on the next page."""

    tone: Tone
    text: str


def new_secret() -> str:
    return secrets.token_urlsafe(32)


def hash_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


# --- attempts to sign in -----------------------------------------------------------------------------------------------------------------


async def add_attempt(tx: AsyncConnection, secret: str, attempt: Attempt, next_page: str) -> None:
    await tx.execute(
        text("insert into login_attempt values (:hash, :state, :nonce, :verifier, :next, clock_timestamp() + :life)"),
        {"hash": hash_of(secret), "next": next_page, "life": ATTEMPT_LIFE} | asdict(attempt),
    )


async def take_attempt(tx: AsyncConnection, secret: str) -> tuple[Attempt, str] | None:
    """The attempt of this browser and the page it leads to; it serves once."""
    statement = """
        delete from login_attempt where attempt_hash = :hash
        returning state, nonce, verifier, next, expires_at > clock_timestamp() as alive
    """
    row = (await tx.execute(text(statement), {"hash": hash_of(secret)})).one_or_none()
    return (Attempt(row.state, row.nonce, row.verifier), row.next) if row and row.alive else None


# --- sessions of browsers ----------------------------------------------------------------------------------------------------------------


async def open_session(tx: AsyncConnection, agent_id: UUID, id_token: str, life: timedelta) -> str:
    """A new session and its secret: a sign-in never goes on with a secret that was known before it."""
    secret = new_secret()
    await tx.execute(
        text(
            "insert into web_session (session_hash, agent_id, id_token, expires_at)"
            " values (:hash, :agent_id, :id_token, clock_timestamp() + :life)"
        ),
        {"hash": hash_of(secret), "agent_id": agent_id, "id_token": id_token, "life": life},
    )
    return secret


async def close_session(tx: AsyncConnection, secret: str) -> str | None:
    """End a session; its id_token, if there was one."""
    return await tx.scalar(text("delete from web_session where session_hash = :hash returning id_token"), {"hash": hash_of(secret)})


_SESSION = text(
    f"""
    select {directory.COLUMNS}, flashes::text <> '[]' as has_flashes,
           last_seen < clock_timestamp() - cast(:seen_every as interval) as unseen
    from web_session join agents using (agent_id)
    where session_hash = :hash and expires_at > clock_timestamp()
    """  # noqa: S608 - constants only
)


async def session_agent(database: Database, secret: str) -> tuple[Agent, bool] | None:
    """Whose session this is, and whether sentences wait to be shown; None when it is unknown or over."""
    key = hash_of(secret)
    async with database.connect() as connection:
        row = (await connection.execute(_SESSION, {"hash": key, "seen_every": SEEN_EVERY})).one_or_none()
    if row is None:
        return None
    if row.unseen:
        async with database.begin() as tx:
            await tx.execute(text("update web_session set last_seen = clock_timestamp() where session_hash = :hash"), {"hash": key})
    return directory.agent_of(row), row.has_flashes


async def add_flash(database: Database, secret: str, flash: Flash) -> None:
    async with database.begin() as tx:
        await tx.execute(
            text("update web_session set flashes = flashes || cast(:flash as jsonb) where session_hash = :hash"),
            {"hash": hash_of(secret), "flash": json.dumps([[flash.tone, flash.text]])},
        )


async def take_flashes(database: Database, secret: str) -> list[Flash]:
    statement = """
        update web_session set flashes = '[]' from web_session as before
        where web_session.session_hash = :hash and before.session_hash = web_session.session_hash returning before.flashes
    """
    async with database.begin() as tx:
        waiting: list[tuple[Tone, str]] = await tx.scalar(text(statement), {"hash": hash_of(secret)}) or []
    return [Flash(tone, sentence) for tone, sentence in waiting]


# --- bearer tokens ------------------------------------------------------------------------------------------------------------------------


async def add_token(tx: AsyncConnection, agent_id: UUID, life: timedelta) -> str:
    secret = new_secret()
    await tx.execute(
        text("insert into api_token (token_hash, agent_id, expires_at) values (:hash, :agent_id, clock_timestamp() + :life)"),
        {"hash": hash_of(secret), "agent_id": agent_id, "life": life},
    )
    return secret


_TOKENS = text(
    f"""
    select {directory.COLUMNS}, token_hash, extract(epoch from expires_at - clock_timestamp()) as lives_on
    from api_token join agents using (agent_id)
    where token_hash = any(:hashes) and revoked_at is null and expires_at > clock_timestamp()
    """  # noqa: S608 - constants only
)


async def token_agents(connection: AsyncConnection, hashes: Sequence[bytes]) -> dict[bytes, tuple[Agent, float]]:
    """By hash, whose token it is and for how many seconds it still holds; without the unknown, expired and revoked ones."""
    rows = await connection.execute(_TOKENS, {"hashes": list(hashes)})
    return {row.token_hash: (directory.agent_of(row), float(row.lives_on)) for row in rows}


async def sweep(tx: AsyncConnection) -> None:
    """Forget what is over; a day's grace for tokens, so that their end can be explained."""
    await tx.execute(text("delete from web_session where expires_at < clock_timestamp()"))
    await tx.execute(text("delete from login_attempt where expires_at < clock_timestamp()"))
    await tx.execute(text("delete from api_token where expires_at < clock_timestamp() - interval '1 day'"))
