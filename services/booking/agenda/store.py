"""An agent's agenda as the rows say it, and the lock that whoever adds to it holds.

The lock of an agent is taken before any lock of a session, agents and sessions each in the order of their ids. Whoever already holds a
session (a freed seat that goes to the head of its queue) only tries it, and asks the agent where it is not to be had.
"""

# ruff: noqa: S608 - what is joined into the statements are lists of columns, never values

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.agenda.domain import Agenda, Limits, Occasion, Place
from services.booking.settings import settings
from shared.contracts.booking import BookingState
from shared.contracts.catalog import ActivityType, DeliveryMode
from shared.database import fetch

IN_PERSON = (DeliveryMode.IN_PERSON, DeliveryMode.HYBRID)  # unknown of sessions that the release before wrote

LOCK = "hashtextextended('agent' || {agent_id}, 0)"

PLACES = """
    select held.booking_id, held.agent_id, held.session_id, held.state, held.activity_type, held.delivery_mode, held.city, held.remote,
           (select json_agg(json_build_array(lower(span), upper(span))) from unnest(held.spans) as span) as spans
    from (
        select (found.place).booking_id, (found.place).agent_id, (found.place).session_id, (found.place).state,
               (found.session).activity_type, (found.session).delivery_mode, (found.session).city, (found.place).remote,
               coalesce((found.session).spans, tstzmultirange(tstzrange((found.session).starts_at, (found.session).ends_at))) as spans
        from places_of({agents}, {since}) as found
    ) as held
    where held.state in ('confirmed', 'waiting')
"""
"""Of these agents, read anew: the last word of each row, whatever the statement around it saw when it began."""

AGENDA = """
    (select json_agg(has) from has where has.agent_id = {agent_id}) as places,
    (select json_agg(lifted.session_id) from fair_use_lifted lifted where lifted.agent_id = {agent_id}) as lifted
"""

# The places are read once the locks are tried: the sum of the answers is asked for first.
_TRY = f"""
    with tried as materialized (
        select agent_id, pg_try_advisory_xact_lock({LOCK.format(agent_id="agent_id")}) as locked from unnest($1::uuid[]) as asked(agent_id)
    ), has as materialized (
        {PLACES.format(agents="case when (select count(locked) from tried) > 0 then $1::uuid[] end", since="$2")}
    )
    select agent_id, locked, {AGENDA.format(agent_id="tried.agent_id")} from tried
"""


@dataclass(frozen=True, slots=True)
class Found:
    """An agenda, and whether it stays so until the end of the transaction."""

    agenda: Agenda
    locked: bool


async def try_agendas(tx: AsyncConnection, agent_ids: Sequence[UUID], now: datetime) -> Mapping[UUID, Found]:
    """For whoever holds a session already: waiting for an agent here could wait for ever."""
    rows = await fetch(tx, _TRY, list(agent_ids), now) if agent_ids else []
    return {row["agent_id"]: Found(agenda_of(row), row["locked"]) for row in rows}


def agenda_of(row: Any) -> Agenda:
    places = [_place(each) for each in row["places"] or ()]
    return Agenda(limits(), places, frozenset(map(UUID, row["lifted"] or ())))


def limits() -> Limits:
    said = settings()
    return Limits(said.buffer, said.travel, said.fair_use)


def _place(said: Mapping[str, Any]) -> Place:
    return Place(
        booking_id=UUID(said["booking_id"]),
        state=BookingState(said["state"]),
        occasion=Occasion(
            session_id=UUID(said["session_id"]),
            activity_type=ActivityType(said["activity_type"]),
            spans=tuple((datetime.fromisoformat(start), datetime.fromisoformat(end)) for start, end in said["spans"]),
            in_person=said["delivery_mode"] in IN_PERSON and not said["remote"],
            city=said["city"],
        ),
    )
