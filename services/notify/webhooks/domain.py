"""Which events other systems may be sent, to which addresses, and what an answer means."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import SplitResult, urlsplit
from uuid import UUID

from shared.contracts.activities import ActivityArchived, ActivityEdited
from shared.contracts.availability import SessionAvailabilityChanged
from shared.contracts.catalog import ActivityPublished, SessionCancelled, SessionRescheduled, SessionScheduled
from shared.contracts.messages import TYPE_PREFIX, Envelope, Event
from shared.errors import Refused

CATALOG_EVENTS = (ActivityPublished, ActivityEdited, ActivityArchived, SessionScheduled, SessionRescheduled, SessionCancelled)
BOOKING_EVENTS = (SessionAvailabilityChanged,)
PUBLIC_TYPES = frozenset(event.type_name() for event in (*CATALOG_EVENTS, *BOOKING_EVENTS))
"""What concerns no person: the same as the stream PUBLIC (P4, E9)."""
PING_TYPE = f"{TYPE_PREFIX}notify.webhook_ping.v1"

BOTH_SECRETS_FOR = timedelta(days=1)
KEPT_FOR = timedelta(days=30)
GONE = "gone"
LONGEST_PAUSE = timedelta(hours=6)
LONGEST_REST = timedelta(minutes=5)
"""How long a receiver that fails is left alone, all its deliveries included."""


class WebhookUnknown(Refused):
    code, status, title = "webhook_unknown", 404, "Cet abonnement n'existe pas."


class WebhookExists(Refused):
    code, title = "webhook_exists", "Cet abonnement existe déjà."


class WebhookDisabled(Refused):
    code, title = "webhook_disabled", "Cet abonnement est désactivé : réactivez-le d'abord."


class EventNotPublic(Refused):
    """Travels with `public`, the types that may be sent."""

    code, status, title = "webhook_event_not_public", 422, "Ce type d'événement n'est pas public."


class AddressRefused(Refused):
    code, status, title = "webhook_address_refused", 422, "Cette adresse ne peut pas recevoir d'événements."


def must_be_public(types: Iterable[str]) -> None:
    if strangers := sorted(set(types) - PUBLIC_TYPES):
        raise EventNotPublic(f"{', '.join(strangers)}; public are {', '.join(sorted(PUBLIC_TYPES))}", public=sorted(PUBLIC_TYPES))


def may_be_told(event: Event) -> bool:
    """A private session was made for one group: it is no part of the public programme."""
    return not event.is_private


def document(envelope: Envelope, event: Event) -> str:
    """The event as CloudEvents JSON. Neither who did it nor how it came about: that is nobody else's business."""
    return _document(
        id=str(envelope.id),
        source=envelope.source,
        type=envelope.type,
        subject=envelope.subject,
        time=envelope.time.isoformat().replace("+00:00", "Z"),
        dataschema=envelope.dataschema,
        sequence=str(envelope.sequence),
        data=event.model_dump(mode="json"),
    )


def ping_document(event_id: UUID, webhook_id: UUID, time: str) -> str:
    return _document(
        id=str(event_id), source="/labo/notify", type=PING_TYPE, subject=str(webhook_id), time=time, sequence="1", data={"ping": True}
    )


def _document(**members: Any) -> str:
    told = {"specversion": "1.0", "datacontenttype": "application/json", **members}
    return json.dumps({name: value for name, value in told.items() if value is not None}, ensure_ascii=False, separators=(",", ":"))


# --- addresses -----------------------------------------------------------------------------------------------------------------------

Address = IPv4Address | IPv6Address

_UNICAST = IPv6Network("2000::/3")
"""All that is given out in IPv6; what translates to IPv4 (NAT64, mapped, compatible) lies outside, except 6to4 and Teredo."""
_NEVER = tuple(ip_network(each) for each in ("2002::/16", "2001::/32", "3fff::/20", "192.0.0.0/24", "168.63.129.16/32"))
"""What looks public to Python 3.11 and is not: tunnels, documentation, protocol assignments, the metadata of two clouds."""


def read_url(url: str, *, loopback: bool) -> SplitResult:
    """The parts of an address that may be asked: https, or plain http where the loopback is allowed. Names are looked up later."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as wrong:
        raise AddressRefused(f"unreadable address: {wrong}") from wrong
    if parts.scheme != "https" and not (loopback and parts.scheme == "http" and host and _is_loopback_name(host)):
        raise AddressRefused("only https")
    if not host or parts.username is not None or parts.password is not None or parts.fragment:
        raise AddressRefused("a host is needed, and neither user nor password nor fragment")
    if not url.isascii() or any(sign.isspace() or not sign.isprintable() for sign in url):
        raise AddressRefused("ASCII without spaces only: write other hosts as xn--…, other paths as %…")
    return parts


def _is_loopback_name(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def choose_address(found: Sequence[str], *, loopback: bool) -> Address:
    """The address to connect to, of those that a name has. One that is not public spoils them all: nobody has both in earnest."""
    addresses = [ip_address(each) for each in found]
    if not addresses:
        raise AddressRefused("the name has no address")
    for address in addresses:
        if not (is_public(address) or (loopback and address.is_loopback)):
            raise AddressRefused(f"{address} is not public")
    return addresses[0]


def is_public(address: Address) -> bool:
    """Whether it leads out of the house: not private, loopback, link-local, shared, reserved, multicast, nor a cloud's own."""
    if isinstance(address, IPv6Address) and (address.scope_id is not None or address not in _UNICAST):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or any(address in network for network in _NEVER))


# --- answers -------------------------------------------------------------------------------------------------------------------------


class Verdict(StrEnum):
    DELIVERED = "delivered"
    GONE = "gone"
    """410: the receiver wants no more, ever."""
    AGAIN = "again"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back from one attempt: a status and the first words, or why there is none."""

    status: int | None
    said: str

    @property
    def verdict(self) -> Verdict:
        """2xx is success; a redirect is not, since nobody checked where it leads."""
        if self.status is not None and 200 <= self.status < 300:
            return Verdict.DELIVERED
        return Verdict.GONE if self.status == 410 else Verdict.AGAIN

    @property
    def error(self) -> str:
        return self.said if self.status is None else f"{self.status} {self.said}".strip()
