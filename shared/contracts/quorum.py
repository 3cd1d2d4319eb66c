"""What booking answers and says of a session's quorum: the seats that must be taken seven days before, or the lab cancels it (M3)."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import AwareDatetime, Field

from shared.contracts.messages import Event, Message, Request


class QuorumState(StrEnum):
    OPEN = "open"
    """The decision is ahead."""
    MET = "met"
    MISSED = "missed"
    """Catalog is asked to cancel the session."""
    KEPT = "kept"
    """The lab said that it takes place all the same."""
    NONE = "none"
    """It was set, or moved, to a day whose decision would have been in the past: nothing is decided by itself."""


class Quorum(Message):
    """How many seats must be taken, and when that is decided."""

    needed: int
    decides_at: AwareDatetime
    state: QuorumState


class SessionQuorumMissed(Event):
    """Too few seats were taken on the decision day: catalog cancels the session, unless it has moved to another day meanwhile (M3)."""

    subject: ClassVar[str] = "evt.booking.session_quorum_missed.v1"
    aggregate: ClassVar[str] = "quorum_decision"
    quorum_decision_id: UUID
    """A session that moves is decided about again, which is another decision."""
    session_id: UUID
    needed: int
    """Seats; how many were taken is not said."""
    day: date
    """In Paris, on which the session starts as far as this decision knew."""
    decided_at: AwareDatetime
    """When the seats were counted."""


class QuorumReport(Quorum):
    """For the lab."""

    session_id: UUID
    taken: int
    """Seats now: those of agents, also where an answer is awaited, and those that groups have without a name."""
    reason: str | None = None
    """Why the lab keeps the session all the same."""
    kept_by: str | None = None
    """Opaque id."""


class GetQuorum(Request[QuorumReport]):
    """Refuses `not_allowed` (needs `operator` or `lab_team`), `session_not_ready`, `quorum_unknown` (the session has none)."""

    subject: ClassVar[str] = "rpc.booking.get_quorum.v1"
    session_id: UUID


class KeepDespiteQuorum(Request[QuorumReport]):
    """The session takes place however few come, also if it moves: nothing cancels it by itself any more.

    Refuses `not_allowed` (needs `operator` or `lab_team`), `session_not_ready`, `quorum_unknown` (the session has none),
    `quorum_already_decided` (with its `state`), `session_started`, `session_is_cancelled`.
    """

    subject: ClassVar[str] = "rpc.booking.keep_despite_quorum.v1"
    session_id: UUID
    reason: Annotated[str, Field(min_length=3, max_length=1000)]
