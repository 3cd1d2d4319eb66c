"""What notify answers about coming to a session: joining instructions, which reminders tell too."""

from __future__ import annotations

from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from shared.contracts.messages import Acknowledged, Message, Request

HttpsAddress = Annotated[str, Field(pattern=r"^https://[^\s<>\"]+$", max_length=500)]


class JoiningInstructions(Message):
    """What people with a seat need to come; empty where nobody said anything."""

    session_id: UUID
    version: int = 0
    bring: str = ""
    """What to bring, in French."""
    access: str = ""
    """How to get in, in French; left out once the session is at another place than it was said of."""
    video_url: str | None = None
    """Where it can be followed from a distance. Never shown to anybody without a seat."""


class HowToCome(Message):
    """What the lab says of it."""

    bring: Annotated[str, Field(max_length=500)] = ""
    access: Annotated[str, Field(max_length=500)] = ""
    video_url: HttpsAddress | None = None


class GiveJoiningInstructions(HowToCome, Request[Acknowledged]):
    """Say, or say anew, what people need to come to a session. Needs the role `operator` or `lab_team`.

    Refuses `not_allowed`, `session_not_ready` (409, retryable: its dates have not arrived yet, E1).
    """

    subject: ClassVar[str] = "rpc.notify.give_joining_instructions.v1"
    session_id: UUID


class GetJoiningInstructions(Request[JoiningInstructions]):
    """What people need to come: for an agent whose seat is confirmed, and for the lab.

    Refuses `seat_not_confirmed` (403), `session_not_ready`.
    """

    subject: ClassVar[str] = "rpc.notify.get_joining_instructions.v1"
    session_id: UUID
