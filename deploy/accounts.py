"""Who may do what on the bus: one NATS user per service, the operator's, and the one that keeps the topology; and where passwords lie.

Replies are allowed by naming the inboxes of those who may ask, not by the server's `allow_responses`: under that, whoever asks chooses
the subject of the answer, and a service could be led to publish into its neighbour's stream.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from deploy.topology import Topology

SERVICES = ("catalog", "booking", "projects", "notify", "gateway")
OPERATOR, TOPOLOGY, SYSTEM = "operator", "topology", "system"
NATS_USERS = (*SERVICES, OPERATOR, TOPOLOGY, SYSTEM)

MAY_ASK: Mapping[str, tuple[str, ...]] = {
    "gateway": ("rpc.>",),
    "notify": ("rpc.gateway.get_contact.v1", "rpc.booking.get_tailored_request.v1", "rpc.booking.get_availability.v1"),
    OPERATOR: ("rpc.>", "$SRV.>"),
}
"""Subjects of the requests that each user may send; whoever is not here asks nobody."""

READS = ("INFO", "STREAM.INFO.*", "STREAM.NAMES", "STREAM.LIST", "CONSUMER.INFO.*.*", "CONSUMER.NAMES.*", "CONSUMER.LIST.*")


def permissions(user: str, topology: Topology) -> tuple[list[str], list[str]]:
    """What a user of the account LABO may publish, and what it may subscribe to."""
    inbox = f"_INBOX_{user}.>"
    if user == TOPOLOGY:
        return ["$JS.API.>"], [inbox]
    if user == OPERATOR:
        reads = [f"$JS.API.{read}" for read in READS]
        return [*MAY_ASK[user], "clock.shifted", *reads], [inbox]
    publish = [f"evt.{user}.>", f"relay.{user}.wake", f"$JS.API.STREAM.INFO.EVT_{user.upper()}", *MAY_ASK.get(user, ())]
    publish += [f"_INBOX_{asker}.>" for asker in MAY_ASK]
    for durable in topology.durables_of(user):
        path = f"{durable.stream}.{durable.name}"
        publish += [f"$JS.API.CONSUMER.MSG.NEXT.{path}", f"$JS.API.CONSUMER.INFO.{path}", f"$JS.ACK.{path}.>", f"$JS.ACK.*.*.{path}.>"]
    return publish, [f"rpc.{user}.>", "$SRV.>", inbox, "clock.shifted", f"relay.{user}.wake"]


def configuration(topology: Topology, passwords: Mapping[str, str]) -> str:
    """The accounts as nats-server reads them. Nobody enters without a user; a password may be given as its bcrypt hash."""
    users = [_user(user, passwords[user], permissions(user, topology)) for user in NATS_USERS if user != SYSTEM]
    system = json.dumps({"user": SYSTEM, "password": passwords[SYSTEM]})
    return "\n".join(
        (
            "accounts {",
            "  LABO { jetstream: enabled, users: [",
            ",\n".join(f"    {user}" for user in users),
            "  ] }",
            f"  SYS {{ users: [ {system} ] }}",
            "}",
            "system_account: SYS",
        )
    )


def _user(name: str, password: str, allowed: tuple[list[str], list[str]]) -> str:
    publish, subscribe = allowed
    return json.dumps(
        {"user": name, "password": password, "permissions": {"publish": {"allow": publish}, "subscribe": {"allow": subscribe}}}
    )


class Secrets:
    """A folder per account and a file per password, as `Settings` reads them from `LABO_SECRETS_DIR`; made at first need, kept after."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def directory(self, account: str) -> Path:
        directory = self.folder / account
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return directory

    def nats(self, user: str) -> str:
        return self._password(user, "labo_nats_password")

    def postgres(self, role: str) -> str:
        return self._password(role, "labo_postgres_password")

    def oidc_client(self) -> str:
        """What the gateway and the demonstration's identity provider share, each in its own folder."""
        secret = self._password("gateway", "labo_oidc_client_secret")
        return self._password("identity", "labo_oidc_client_secret", secret)

    def links(self) -> str:
        """What notify signs the links of mails with and the gateway checks them with, each in its own folder."""
        secret = self._password("gateway", "labo_link_secret")
        return self._password("notify", "labo_link_secret", secret)

    def certificates(self) -> str:
        """What the gateway signs attendance certificates with: whoever loses it can print none that verify as the former ones do."""
        return self._password("gateway", "labo_certificate_key", secrets.token_urlsafe(32))

    def all_nats(self) -> dict[str, str]:
        return {user: self.nats(user) for user in NATS_USERS}

    def all_postgres(self) -> dict[str, str]:
        return {role: self.postgres(role) for role in SERVICES}

    def _password(self, account: str, name: str, given: str = "") -> str:
        path = self.directory(account) / name
        if not path.exists():
            whole = path.with_name(f".{name}.{os.getpid()}")
            with os.fdopen(os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(given or secrets.token_urlsafe(24))
            with suppress(FileExistsError):
                os.link(whole, path)  # whoever comes second reads the first one's, never half of it
            whole.unlink()
        return path.read_text().strip()
