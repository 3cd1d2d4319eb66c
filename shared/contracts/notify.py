"""What notify says and answers: what became of the mail."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from shared.contracts.messages import Event, Message, Request

MailState = Literal["new", "sending", "sent", "deferred", "uncertain", "failed", "bounced", "dropped"]


class DeliveryBounced(Event):
    """A mail server refused the recipient for good; the operator and the agent see it."""

    subject: ClassVar[str] = "evt.notify.delivery_bounced.v1"
    aggregate: ClassVar[str] = "mail"
    mail_id: UUID
    agent_id: UUID
    kind: str
    """Which mail it was, such as `booking_confirmed`."""


class Delivery(Message):
    mail_id: UUID
    kind: str
    agent_id: UUID
    state: MailState
    created_at: AwareDatetime
    last_error: str | None = None


class DeliveryList(Message):
    deliveries: tuple[Delivery, ...]


class ListDeliveries(Request[DeliveryList]):
    """Mails and what became of them, newest first. Agents see their own, operators everybody's. Refuses `not_allowed`."""

    subject: ClassVar[str] = "rpc.notify.list_deliveries.v1"
    agent_id: UUID | None = None
    state: MailState | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class ToldOf(Message):
    """One mail about a session, and what became of it. Ids only: the directory has the names."""

    mail_id: UUID
    recipient_id: UUID
    """Opaque: an agent, or a contact such as a line manager."""
    booking_id: UUID
    kind: str
    """Which mail it is, such as `session_moved`, `seat_to_reconfirm`, `cancelled_by_lab`."""
    state: MailState
    why: str | None = None
    """Of a mail that did not go out: why not."""
    written_at: AwareDatetime
    sent_at: AwareDatetime | None = None


class SessionReport(Message):
    session_id: UUID
    told: tuple[ToldOf, ...]
    """In the order in which they were written."""


class GetSessionReport(Request[SessionReport]):
    """Who was told what, and when, of a session that was moved or cancelled. Needs `operator` or `lab_team`. Refuses `not_allowed`."""

    subject: ClassVar[str] = "rpc.notify.get_session_report.v1"
    session_id: UUID
    everything: bool = False
    """True for all mails about the session, confirmations and offers included."""


class ResolveDelivery(Request[Delivery]):
    """Decide about a mail that no program may decide about: `uncertain`, `failed` or `bounced`. Needs the role `operator`.

    Refuses `not_allowed`, `delivery_unknown`, `delivery_settled` (it needs no decision, or somebody was faster).
    """

    subject: ClassVar[str] = "rpc.notify.resolve_delivery.v1"
    mail_id: UUID
    resolution: Literal["sent", "again", "dropped"]
    """`sent`: the mail server's log has it. `again`: try once more, at the risk that it arrives twice. `dropped`: nobody writes."""
