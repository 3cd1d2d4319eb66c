"""Mails on their way out: leased to one process, `sending` committed before the first word of SMTP, settled after the last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.mail.domain import FIRST_WORDS, MOVES, PATIENT, PATIENT_MOVES, Before, Known, MailKind
from shared.contracts.booking import BookingState
from shared.contracts.catalog import Period, SessionState, VenueSheet
from shared.contracts.groups import GroupState
from shared.contracts.notify import MailState

LEASE = timedelta(seconds=60)  # of a mail that waits for its turn in a process; one that is `sending` is never taken by another


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail that this process may send."""

    id: UUID
    lease: UUID
    kind: MailKind
    agent_id: UUID
    booking_id: UUID | None
    session_id: UUID | None
    details: Mapping[str, Any]
    attempts: int
    created_at: datetime
    traceparent: str | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", MailKind(self.kind))


# A mail about a session waits until the session is known, and behind another mail on the same matter that is being sent.
_CLAIM = text(
    """
    with due as (
        select id from mail
        where state in ('new', 'deferred')
          and coalesce(next_attempt_at, created_at + case when kind = any(:patient) then cast(:confirmation_delay as interval)
                                                          when kind = any(:moves) then cast(:move_delay as interval)
                                                          else interval '0' end) <= clock_timestamp()
          and (leased_until is null or leased_until < clock_timestamp())
          and (session_id is null
               or (exists (select from session where session.session_id = mail.session_id)
                   and not exists (select from mail as other where other.session_id = mail.session_id and other.agent_id = mail.agent_id
                                                               and other.state = 'sending')))
        order by created_at limit :limit
        for update skip locked
    )
    update mail set lease = uuidv7(), leased_until = clock_timestamp() + cast(:lease as interval), instance = :instance
    from due where mail.id = due.id
    returning mail.id, mail.lease, mail.kind, mail.agent_id, mail.booking_id, mail.session_id, mail.details, mail.attempts, mail.created_at,
              mail.traceparent
    """
)


async def claim(tx: AsyncConnection, *, limit: int, instance: str, confirmation_delay: float, move_delay: float) -> list[Mail]:
    """Due mails, oldest first, that no other process has."""
    values = {
        "limit": limit,
        "instance": instance,
        "lease": LEASE,
        "patient": list(PATIENT),
        "moves": list(PATIENT_MOVES),
        "confirmation_delay": timedelta(seconds=confirmation_delay),
        "move_delay": timedelta(seconds=move_delay),
    }
    rows = (await tx.execute(_CLAIM, values)).mappings()
    mails = [Mail(**{str(name): value for name, value in row.items()}) for row in rows]
    return sorted(mails, key=lambda mail: (mail.created_at, mail.id))


_KNOWN = text(
    """
    select booking.state as booking, booking.of_group, booking.remote, booking.pending, booking.version, session.state as session,
           coalesce(max(other.session_version) filter (where other.state in ('sending', 'sent', 'uncertain')), 0) as told,
           coalesce(bool_or(other.booking_id = booking.booking_id and other.state in ('new', 'deferred')
                            and other.kind = any(:first_words)), false) as to_be_told,
           coalesce(bool_or(other.state = 'sending'), false) as busy,
           coalesce(bool_or(other.booking_id = booking.booking_id and other.kind = :offer), false) as offered,
           coalesce(bool_or(other.booking_id = booking.booking_id and other.kind = :offer and other.id > :mail_id), false) as offered_anew,
           (select move.details from mail as move
            where move.session_id = booking.session_id and move.agent_id = booking.agent_id and move.kind = :moved
            order by move.id desc limit 1) as move,
           exists (select from booking as newer
                   where newer.session_id = booking.session_id and newer.agent_id = booking.agent_id
                     and newer.booking_id <> booking.booking_id and newer.state = :confirmed) as seat_elsewhere
    from booking join session using (session_id)
         left join mail as other
         on other.session_id = booking.session_id and other.agent_id = booking.agent_id and other.id <> :mail_id
    where booking.booking_id = :booking_id
    group by booking.booking_id, session.session_id
    """
)


async def matter_of(tx: AsyncConnection, mail: Mail) -> Known | None:
    """What is known now of the matter of a mail, with that matter locked; None while another mail on it is being sent."""
    await tx.execute(
        text("select pg_advisory_xact_lock(hashtextextended(:matter, 0))"), {"matter": f"mail/{mail.session_id}/{mail.agent_id}"}
    )
    values = {
        "mail_id": mail.id,
        "booking_id": mail.booking_id,
        "confirmed": BookingState.CONFIRMED,
        "first_words": list(FIRST_WORDS),
        "offer": MailKind.OFFER_MADE,
        "moved": MailKind.SESSION_MOVED,
    }
    row = (await tx.execute(_KNOWN, values)).one()
    if row.busy:
        return None
    starts_at = mail.details.get("starts_at")
    move: Mapping[str, Any] = mail.details if mail.kind is MailKind.SESSION_MOVED else (row.move or {}) if mail.kind in MOVES else {}
    before = move.get("before")
    return Known(
        booking=GroupState(row.booking) if row.of_group else BookingState(row.booking),
        session=SessionState.model_validate(row.session).followed(remote=row.remote),
        told=row.told,
        to_be_told=row.to_be_told,
        seat_elsewhere=row.seat_elsewhere,
        offered=row.offered,
        offered_anew=row.offered_anew,
        reminded_of=starts_at and datetime.fromisoformat(starts_at),
        newer=row.version > mail.details.get("version", row.version),
        pending=row.pending,
        move_reason=move.get("reason", ""),
        before=before and _before(before, remote=row.remote),
    )


_SESSION_OF = text(
    """
    select session.state, coalesce(booking.remote, false) as remote
    from session left join booking on booking.booking_id = :booking_id
    where session.session_id = :session_id
    """
)


async def session_of(tx: AsyncConnection, mail: Mail) -> SessionState:
    """As it is known now, as the reader followed it (B9); a mail about it is claimed only once it is."""
    row = (await tx.execute(_SESSION_OF, {"session_id": mail.session_id, "booking_id": mail.booking_id})).one()
    return SessionState.model_validate(row.state).followed(remote=row.remote)


def _before(stored: Mapping[str, Any], *, remote: bool) -> Before:
    venue = None if remote else stored.get("venue")
    return Before(tuple(Period.model_validate(period) for period in stored["periods"]), venue and VenueSheet.model_validate(venue))


_START = text(
    """
    update mail
    set state = 'sending', sending_since = clock_timestamp(), attempts = attempts + 1, leased_until = null,
        session_version = :session_version, message_id = :message_id
    where id = :id and lease = :lease and state in ('new', 'deferred')
    """
)

_POSTPONE = text(
    """
    update mail
    set state = case state when 'sending' then 'deferred' else state end,
        leased_until = null, next_attempt_at = clock_timestamp() + cast(:pause as interval), last_error = coalesce(:reason, last_error)
    where id = :id and lease = :lease and state in ('new', 'deferred', 'sending')
    """
)

_DEFER = text(
    """
    update mail
    set state = 'deferred', attempts = attempts + :uncounted, next_attempt_at = clock_timestamp() + cast(:pause as interval),
        last_error = :error, leased_until = null, session_version = null
    where id = :id and lease = :lease and state = any(:states)
    """
)

_SETTLE = text(
    """
    update mail
    set state = cast(:state as text), last_error = :error, leased_until = null,
        bounces = bounces + case when cast(:state as text) = 'bounced' then 1 else 0 end,
        sent_at = case when cast(:state as text) = 'sent' then clock_timestamp() end
    where id = :id and lease = :lease and state in ('new', 'deferred', 'sending', 'uncertain')
    returning bounces
    """
)


async def start(tx: AsyncConnection, mail: Mail, *, session_version: int | None, message_id: str) -> bool:
    """Say that the mail is leaving. False when the lease ran out and another process has it."""
    values = {"id": mail.id, "lease": mail.lease, "session_version": session_version, "message_id": message_id}
    return (await tx.execute(_START, values)).rowcount == 1


async def postpone(tx: AsyncConnection, mail: Mail, pause: timedelta, reason: str | None = None) -> None:
    """Give a mail back untried: whatever `start` may have committed, nothing was said to the mail server."""
    await tx.execute(_POSTPONE, {"id": mail.id, "lease": mail.lease, "pause": pause, "reason": reason})


async def defer(tx: AsyncConnection, mail: Mail, pause: timedelta, error: str, *, before_sending: bool) -> None:
    """Try again later: only a mail that the server cannot have. Before `start`, the attempt has not been counted yet."""
    states = ["new", "deferred"] if before_sending else ["sending", "uncertain"]
    values = {"id": mail.id, "lease": mail.lease, "pause": pause, "error": error, "uncounted": int(before_sending), "states": states}
    await tx.execute(_DEFER, values)


Outcome = Literal["sent", "failed", "bounced", "uncertain", "dropped"]


async def settle(tx: AsyncConnection, mail: Mail, state: Outcome, error: str | None = None) -> int | None:
    """How it ended: the number of its bounces, or None when that was said before. Whoever spoke with the server knows better than a sweep
    that took him for dead.
    """
    return await tx.scalar(_SETTLE, {"id": mail.id, "lease": mail.lease, "state": state, "error": error})


# The lease goes too: whoever still speaks with the server about it is no longer asked.
_RESOLVE = text(
    """
    update mail
    set state = case cast(:resolution as text) when 'again' then 'deferred' else cast(:resolution as text) end, lease = null,
        leased_until = null, next_attempt_at = clock_timestamp(),
        session_version = case when cast(:resolution as text) = 'sent' then session_version end,
        sent_at = case when cast(:resolution as text) = 'sent' then sending_since end
    where id = :id and state in ('uncertain', 'failed', 'bounced')
    """
)


async def resolve(tx: AsyncConnection, mail_id: UUID, resolution: Literal["sent", "again", "dropped"]) -> bool:
    """What a person decided of a mail in doubt; False when it was in none."""
    return (await tx.execute(_RESOLVE, {"id": mail_id, "resolution": resolution})).rowcount == 1


async def take_stock(tx: AsyncConnection, instance: str) -> list[UUID]:
    """At start: what a former process of this name was sending when it died is uncertain; what it had only claimed is free again."""
    await tx.execute(
        text("update mail set leased_until = null where instance = :instance and state in ('new', 'deferred')"),
        {"instance": instance},
    )
    return await _doubt(tx, "the process died while sending", "instance = :instance", {"instance": instance})


async def sweep(tx: AsyncConnection, older_than: timedelta) -> list[UUID]:
    """What has been `sending` for longer than any conversation lasts: its process died and did not come back under its name."""
    return await _doubt(
        tx, "no outcome was ever recorded", "sending_since < clock_timestamp() - cast(:age as interval)", {"age": older_than}
    )


async def _doubt(tx: AsyncConnection, error: str, which: str, values: Mapping[str, Any]) -> list[UUID]:
    doubted = await tx.scalars(
        text(f"update mail set state = 'uncertain', last_error = :error where state = 'sending' and {which} returning id"),  # noqa: S608
        {"error": error, **values},
    )
    return list(doubted.all())


async def count(tx: AsyncConnection) -> dict[MailState, int]:
    rows = await tx.execute(text("select state, count(*) from mail where state <> 'sent' and state <> 'dropped' group by state"))
    return {row[0]: row[1] for row in rows.all()}
