from __future__ import annotations

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.mail.domain import UPHEAVALS
from shared.contracts.notify import Delivery, DeliveryList, MailState, SessionReport, ToldOf

_DELIVERY = "select id as mail_id, kind, agent_id, state, created_at, last_error from mail"
_ONE = text(f"{_DELIVERY} where id = :mail_id")
_DELIVERIES = text(
    f"""
    {_DELIVERY}
    where (cast(:agent_id as uuid) is null or agent_id = :agent_id) and (cast(:state as text) is null or state = :state)
    order by id desc limit :limit
    """
)


async def list_deliveries(connection: AsyncConnection, *, agent_id: UUID | None, state: MailState | None, limit: int) -> DeliveryList:
    rows = (await connection.execute(_DELIVERIES, {"agent_id": agent_id, "state": state, "limit": limit})).mappings()
    return DeliveryList(deliveries=tuple(Delivery.model_validate(dict(row)) for row in rows))


async def delivery(connection: AsyncConnection, mail_id: UUID) -> Delivery | None:
    row = (await connection.execute(_ONE, {"mail_id": mail_id})).mappings().one_or_none()
    return Delivery.model_validate(dict(row)) if row else None


_REPORT = text(
    """
    select id as mail_id, agent_id as recipient_id, booking_id, kind, state, created_at as written_at, sent_at,
           case when state in ('dropped', 'failed', 'bounced', 'uncertain') then last_error end as why
    from mail where session_id = :session_id and (:everything or kind = any(:kinds)) order by id
    """
)


async def session_report(connection: AsyncConnection, session_id: UUID, *, everything: bool) -> SessionReport:
    values = {"session_id": session_id, "everything": everything, "kinds": list(UPHEAVALS)}
    rows = (await connection.execute(_REPORT, values)).mappings()
    return SessionReport(session_id=session_id, told=tuple(ToldOf.model_validate(dict(row)) for row in rows))
