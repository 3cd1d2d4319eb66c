"""Signed links that a mail carries (K5): who may do what about which booking, and until when. Nothing is stored for them.

Whoever writes the mail signs, the gateway checks. That a link serves once is not their business: the owning service knows what became of
the booking. Without a secret no link is made and none is believed.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, unique
from uuid import UUID

from pydantic import SecretStr

from shared.contracts.preferences import Topic

_LAYOUT = struct.Struct(">c16s16sQ")
_WHAT_FOR = b"labo-mail-link-1"  # the secret signs nothing else that could be taken for a link
_OPT_OUT_LAYOUT, _OPT_OUT_FOR = struct.Struct(">c16s"), b"labo-opt-out-1"
_TOPICS = {Topic.REMINDERS: b"r", Topic.WAITLIST: b"w", Topic.NEWS: b"n", Topic.SURVEYS: b"s"}


@unique
class Purpose(Enum):
    ACCEPT_OFFER = b"a"
    DECLINE_OFFER = b"d"
    GIVE_BACK = b"g"
    """Of a seat: « je ne pourrai pas venir »."""
    SHOW_ONESELF = b"p"
    """The agent's own code at the door: it says who somebody is, and nothing of where they are."""
    FETCH_CERTIFICATE = b"c"
    """The valid attendance certificate of a booking, whichever it is by then."""
    KEEP_SHEET = b"e"
    """Of attendance: `booking_id` holds the session, `agent_id` whoever keeps its sheet (A1)."""
    TAKE_PART = b"t"
    """Of the seats that a group awaits (W6)."""
    LEAVE_PART = b"l"
    SEE_GROUP = b"v"
    """And say who comes with it (G2)."""
    ACCEPT_AS_HOST = b"H"
    """Of a date proposed to a host: `booking_id` holds the proposal, `agent_id` the host's contact (G5)."""
    REFUSE_AS_HOST = b"K"
    APPROVE_BOOKING = b"y"
    """For the line manager: `agent_id` is the contact (B7)."""
    REFUSE_BOOKING = b"n"
    CONFIRM_BOOKING = b"k"
    GIVE_UP_SEAT = b"r"
    """As the one before: of a session that moved (M1)."""
    GIVE_FEEDBACK = b"f"
    """`booking_id` holds the invitation of a survey."""
    LEAVE_QUEUE = b"w"
    """Of a session that moved (W7)."""


@dataclass(frozen=True, slots=True)
class Link:
    """`expires_at` is domain time, as the deadline it stands for."""

    purpose: Purpose
    booking_id: UUID
    """Or the group's, where the purpose is a group's."""
    agent_id: UUID
    expires_at: datetime

    def sign(self, secret: SecretStr) -> str | None:
        """What stands in the address; None without a secret."""
        if not secret.get_secret_value():
            return None
        seconds = math.ceil(self.expires_at.timestamp())
        return _written(_LAYOUT.pack(self.purpose.value, self.booking_id.bytes, self.agent_id.bytes, seconds), _WHAT_FOR, secret)


def read_link(token: str, secret: SecretStr) -> Link | None:
    """The link that was signed, whatever its age; None for anything else."""
    if (said := _read(token, _LAYOUT.size, _WHAT_FOR, secret)) is None:
        return None
    purpose, booking_id, agent_id, seconds = _LAYOUT.unpack(said)
    return Link(Purpose(purpose), UUID(bytes=booking_id), UUID(bytes=agent_id), datetime.fromtimestamp(seconds, UTC))


@dataclass(frozen=True, slots=True)
class OptOut:
    """The end of mails about a topic (RFC 8058). It never expires: mails are kept for years."""

    topic: Topic
    agent_id: UUID

    def sign(self, secret: SecretStr) -> str | None:
        if not secret.get_secret_value():
            return None
        return _written(_OPT_OUT_LAYOUT.pack(_TOPICS[self.topic], self.agent_id.bytes), _OPT_OUT_FOR, secret)


def read_opt_out(token: str, secret: SecretStr) -> OptOut | None:
    if (said := _read(token, _OPT_OUT_LAYOUT.size, _OPT_OUT_FOR, secret)) is None:
        return None
    letter, agent_id = _OPT_OUT_LAYOUT.unpack(said)
    return OptOut(next(topic for topic, each in _TOPICS.items() if each == letter), UUID(bytes=agent_id))


def _written(said: bytes, what_for: bytes, secret: SecretStr) -> str:
    return urlsafe_b64encode(said + _signature(said, what_for, secret)).decode().rstrip("=")


def _read(token: str, size: int, what_for: bytes, secret: SecretStr) -> bytes | None:
    try:
        content = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
    except (Error, ValueError):
        return None
    said, signature = content[:size], content[size:]
    if not secret.get_secret_value() or not hmac.compare_digest(signature, _signature(said, what_for, secret)):
        return None
    return said


def _signature(said: bytes, what_for: bytes, secret: SecretStr) -> bytes:
    return hmac.digest(secret.get_secret_value().encode(), what_for + said, hashlib.sha256)
