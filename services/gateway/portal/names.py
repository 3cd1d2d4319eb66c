"""Who comes with a group: its contact says it on the group's page, by the addresses of colleagues, or puts one in place of another (G2).

Opening the page changes nothing; its forms do, and do no harm when they are sent twice. Names are shown to the contact alone, as long as
the link lasts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.directory import store as directory
from services.gateway.directory.domain import AgentUnknown
from services.gateway.login.store import Flash
from services.gateway.portal.answers import LinkExpired, speaker
from services.gateway.portal.asking import patiently
from services.gateway.portal.exchanges import id_in
from services.gateway.portal.visit import Visit, refused
from services.gateway.programme import queries
from services.gateway.programme.seats import agents_at
from services.gateway.web.forms import form_of
from services.gateway.web.problems import headers_of
from shared import clock
from shared.bus import Caller
from shared.contracts.booking import Booking
from shared.contracts.groups import GetGroup, GroupBooking
from shared.contracts.names import NameSeats, TransferSeat
from shared.errors import InvalidRequest, Refused
from shared.links import Link

ADDRESSES_AT_MOST = 200
UNKNOWN = "Agent inconnu de l’annuaire"


class NamesMissing(Refused):
    code, status, title = "names_missing", 422, "Écrivez au moins une adresse."


@dataclass(frozen=True, slots=True)
class Said:
    """What the contact wrote, as they wrote it, and for which seat: one that changes hands, or None for those without a name."""

    written: str
    place: UUID | None

    @property
    def addresses(self) -> Sequence[str]:
        """One a line, or however a mail program lists them."""
        if self.place and self.written:
            return [self.written]
        return list(dict.fromkeys(found for word in re.split(r"[\s,;]+", self.written) if (found := word.strip("<>"))))


@dataclass(frozen=True, slots=True)
class Fault:
    """Why nobody was named: said beside the field, which keeps what was written there."""

    said: Said
    refusal: Refused
    addresses: Sequence[str] = ()
    """Those that it is about."""

    @property
    def words(self) -> str:
        return _not_named(self.refusal.code, self.refusal.title, self.addresses)


async def show(visit: Visit, link: Link) -> Response:
    return await _page(visit, link)


async def say_who_comes(request: Request, visit: Visit, link: Link) -> Response:
    """All who were written are named, or nobody is."""
    if link.expires_at <= clock.now():
        raise LinkExpired(f"it was for group {link.booking_id}")
    form = await form_of(request)
    said = Said(form.get("adresses", ""), id_in(form, "place"))
    if len(said.addresses) > ADDRESSES_AT_MOST:
        raise InvalidRequest("more addresses than any group has seats")
    fault = await _name(visit, link, said)
    return await _page(visit, link, fault, done=None if fault else _named(replaced=said.place is not None))


async def _name(visit: Visit, link: Link, said: Said) -> Fault | None:
    if not said.addresses:
        return Fault(said, NamesMissing("the field was empty"))
    agents = await _colleagues(visit, link, said.addresses)
    if unknown := [address for address in said.addresses if address not in agents]:
        return Fault(said, AgentUnknown("no agent, or of another service"), unknown)
    try:
        await patiently(lambda caller: _ask(visit, link, said, agents, caller), _speaker(link, said, agents))
    except Refused as refusal:
        about = refusal.members.get("agent_id")
        return Fault(said, refusal, [address for address, agent_id in agents.items() if str(agent_id) == about])
    return None


async def _ask(visit: Visit, link: Link, said: Said, agents: Mapping[str, UUID], caller: Caller) -> GroupBooking | Booking:
    if said.place:
        return await visit.desk.bus.ask(TransferSeat(booking_id=said.place, agent_id=next(iter(agents.values()))), caller)
    return await visit.desk.bus.ask(NameSeats(group_id=link.booking_id, agent_ids=tuple(agents.values())), caller)


def _speaker(link: Link, said: Said, agents: Mapping[str, UUID]) -> Caller:
    """A seat passes from one to another once, however often the form is sent. Who is in the group already stays so without a key."""
    key = f"{said.place}/{next(iter(agents.values()))}" if said.place else None
    return replace(speaker(link), idempotency_key=key)


async def _colleagues(visit: Visit, link: Link, addresses: Sequence[str]) -> dict[str, UUID]:
    """Of the contact's own service, also where the contact is of the lab: a link is no sign-in."""
    async with visit.desk.database.connect() as connection:
        contact = await directory.read(connection, link.agent_id)
        return await agents_at(connection, addresses, contact.org_unit) if contact else {}


async def _page(visit: Visit, link: Link, fault: Fault | None = None, *, done: str | None = None) -> Response:
    group = await visit.desk.bus.ask(GetGroup(group_id=link.booking_id), speaker(link))  # refused unless they are its contact
    lasts = link.expires_at > clock.now()
    members = group.members if lasts else ()
    async with visit.desk.database.connect() as connection:
        listed = (await queries.read_sessions(connection, [group.session_id])).get(group.session_id)
        names = await directory.names(connection, [member.agent_id for member in members])
    values: dict[str, Any] = {
        "group": group,
        "listed": listed,
        "members": [(member.booking_id, names.get(member.agent_id, UNKNOWN)) for member in members],
        "ahead": lasts and (listed is None or clock.now() < listed.session.periods[0].starts_at),
        "fault": fault,
        "flashes": [Flash("success", done)] if done else [],
    }
    if fault and not (values["ahead"] and _has_field(group, fault.said.place)):
        values |= {"fault": None, "flashes": [refused(fault.refusal)]}
    response = visit.page("names.html", status=fault.refusal.status if fault else 200, **values)
    response.headers.update(headers_of(fault.refusal) if fault else {"Cache-Control": "no-store"})
    return response


def _has_field(group: GroupBooking, place: UUID | None) -> bool:
    """Whether the page still asks for this: the seat may be another's by now, or have gone back."""
    return any(member.booking_id == place for member in group.members) if place else group.seats_unnamed > 0


def _named(*, replaced: bool) -> str:
    if replaced:
        return "C’est noté : la place a changé de nom. Courriels à suivre, à l’une et à l’autre personne."
    return "C’est noté : chaque personne nommée reçoit sa confirmation par courriel."


def _not_named(code: str, title: str, addresses: Sequence[str]) -> str:
    """Why nobody was named, and whose address it is about."""
    if code == "agent_unknown":
        these, them = ("ces adresses", "les") if len(addresses) > 1 else ("cette adresse", "la")
        nobody = f"personne de votre administration ne s’est encore connecté à Lab-O avec {these}"
        title = f"{nobody}. Vérifiez-{them}, ou demandez une première connexion."
    return f"{', '.join(addresses)} : {title}" if addresses else title
