"""What someone would write in an afternoon: FastAPI, SQLAlchemy's ORM, one transaction, no broker, no keys, no sign-in.

    DATABASE_URL=postgresql+asyncpg://… uvicorn tests.bench.monolith:app --workers 2

It takes the seat and writes the mail to send in the same transaction: the same rows as the whole of Lab-O's path, without its rules.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict
from sqlalchemy import ForeignKey, UniqueConstraint, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import DateTime


class Base(DeclarativeBase):
    pass


class Session(Base):
    __tablename__ = "session"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    capacity: Mapped[int]
    taken: Mapped[int] = mapped_column(default=0)


class Booking(Base):
    __tablename__ = "booking"
    __table_args__ = (UniqueConstraint("session_id", "agent_id"),)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("session.id"))
    agent_id: Mapped[UUID]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=lambda: datetime.now(UTC))


class Mail(Base):
    __tablename__ = "mail"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    booking_id: Mapped[UUID] = mapped_column(ForeignKey("booking.id"))
    details: Mapped[dict[str, str]] = mapped_column(JSONB)
    sent: Mapped[bool] = mapped_column(default=False)


class BookingIn(BaseModel):
    session_id: UUID
    agent_id: UUID


class BookingOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    id: UUID
    session_id: UUID
    agent_id: UUID
    created_at: datetime


engine = create_async_engine(
    os.environ.get("DATABASE_URL", "postgresql+asyncpg://127.0.0.1/monolith"),
    connect_args={"server_settings": {"search_path": os.environ.get("DATABASE_SCHEMA", "public")}},
)
sessionmaker = async_sessionmaker(engine, expire_on_commit=False)
app = FastAPI()


async def database() -> AsyncIterator[AsyncSession]:
    async with sessionmaker() as session:
        yield session


@app.post("/bookings", status_code=201)
async def book(wanted: BookingIn, db: Annotated[AsyncSession, Depends(database)]) -> BookingOut:
    session = await db.scalar(select(Session).where(Session.id == wanted.session_id).with_for_update())
    if session is None:
        raise HTTPException(404, "no such session")
    if session.taken >= session.capacity:
        raise HTTPException(409, "full")
    session.taken += 1
    booking = Booking(session_id=wanted.session_id, agent_id=wanted.agent_id)
    db.add(booking)
    try:
        await db.flush()
        db.add(Mail(booking_id=booking.id, details={"kind": "booking_confirmed", "agent_id": str(wanted.agent_id)}))
        await db.commit()
    except IntegrityError as error:
        raise HTTPException(409, "already booked") from error
    return BookingOut.model_validate(booking)


@app.get("/ping")
async def ping() -> dict[str, str]:
    return {"status": "ok"}
