"""What an address must be before somebody is written to at it. Pure."""

from __future__ import annotations

import re

from shared.errors import Refused

_ADDRESS = re.compile(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+\.[^@\s,;<>\".]+")
LONGEST = 254


class ContactInvalid(Refused):
    code, status = "contact_invalid", 422
    title = "Cette adresse de courriel n'est pas valable : vérifiez-la."


class ContactIsOneself(Refused):
    """Nobody agrees to their own request."""

    code, status = "contact_is_oneself", 422
    title = "C'est votre propre adresse : indiquez celle de votre responsable."


def address_of_manager(given: str, own: str) -> str:
    address = given.strip()
    if len(address) > LONGEST or not _ADDRESS.fullmatch(address):
        raise ContactInvalid("not an address")
    if address.lower() == own.lower():
        raise ContactIsOneself("the agent's own address")
    return address
