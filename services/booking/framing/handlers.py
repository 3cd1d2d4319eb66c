"""The framing note, written by agent and lab in turns: whoever read an older version than the present one is told, and loses nothing."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.framing import domain, store
from services.booking.requests import queries
from services.booking.requests.domain import AHEAD, TailoredRequestMovedOn, TailoredRequestUnknown
from services.booking.requests.handlers import acts_for, lock_for
from shared import clock
from shared.bus import Caller
from shared.contracts.framing import ExportFramingNote, FramingDocument, FramingNote, GetFramingNote, WriteFramingNote
from shared.contracts.tailored import TailoredRequest
from shared.database import Database
from shared.requests import Requests

requests = Requests()


@requests.command(WriteFramingNote)
async def write(request: WriteFramingNote, caller: Caller, tx: AsyncConnection) -> FramingNote:
    about = await lock_for(tx, request.tailored_request_id, caller)
    if about.state not in AHEAD:
        raise TailoredRequestMovedOn(f"request {about.tailored_request_id} is {about.state}", state=about.state)
    note = domain.next_version(await store.read(tx, request.tailored_request_id), request, caller.actor, clock.now())
    await store.insert(tx, note)
    return note


@requests.query(GetFramingNote)
async def get(request: GetFramingNote, caller: Caller, database: Database) -> FramingNote:
    return (await _read(request, caller, database))[1]


@requests.query(ExportFramingNote)
async def export(request: ExportFramingNote, caller: Caller, database: Database) -> FramingDocument:
    asked = GetFramingNote(tailored_request_id=request.tailored_request_id)
    return domain.document(*await _read(asked, caller, database))


async def _read(request: GetFramingNote, caller: Caller, database: Database) -> tuple[TailoredRequest, FramingNote]:
    async with database.connect() as connection:
        about = await queries.read(connection, request.tailored_request_id)
        note = await store.read(connection, request.tailored_request_id, request.version)
    if about is None or not acts_for(caller, about.agent_id):
        raise TailoredRequestUnknown(f"request {request.tailored_request_id}")
    if note is None:
        raise domain.FramingNoteUnknown(f"request {request.tailored_request_id}")
    return about, note
