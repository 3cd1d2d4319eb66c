"""What each process of the embedded stack is, and what it is told: variables, and a folder with its own passwords."""

from __future__ import annotations

import os
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache

from deploy.accounts import TOPOLOGY
from deploy.child import HOST
from deploy.installation import ROOT, Installation, Ports, identity_url, portal_url
from deploy.program import Program

GATEWAY, NOTIFY = "gateway", "notify"
# E3 is a setting: nobody who tries the system wants to wait for the mail.
HASTY = {"LABO_CONFIRMATION_DELAY": "0", "LABO_MOVE_DELAY": "10", "LABO_DEFERRAL_BASE": "2"}


def companions(installation: Installation, ports: Ports) -> Sequence[Program]:
    """What the services' world offers: the keeper of the topology, a mail server, an identity provider."""
    secrets = installation.secrets
    secrets.oidc_client()
    secrets.links()
    secrets.certificates()
    watch = {
        "LABO_ENVIRONMENT": "embedded",
        "LABO_NATS_URL": f"nats://{HOST}:{ports.nats}",
        "LABO_SECRETS_DIR": str(secrets.directory(TOPOLOGY)),
    }
    mail = [
        "deploy.mailcatcher",
        "--folder",
        str(installation.folder / "mail"),
        "--smtp-port",
        str(ports.smtp),
        "--web-port",
        str(ports.mail),
    ]
    key = secrets.directory("identity") / "signing_key.pem"
    identity = ["deploy.identity", "--port", str(ports.identity), "--portal", portal_url(ports), "--key", str(key)]
    return [
        Program("topology-watch", installation, ["deploy.topology", "watch"], environment=watch),
        Program("mail-catcher", installation, mail, port=ports.mail, ready_path="/api/messages?to=-"),
        Program(
            "sign-in", installation, identity, port=ports.identity, ready_path="/.well-known/openid-configuration",
            environment={"LABO_SECRETS_DIR": str(secrets.directory("identity"))},
        ),
    ]  # fmt: skip


def service(name: str, installation: Installation, ports: Ports, settings: Mapping[str, str]) -> Program:
    port = ports.health[name]
    environment = {
        "LABO_ENVIRONMENT": "embedded",
        "LABO_VERSION": release(),
        "LABO_NATS_URL": f"nats://{HOST}:{ports.nats}",
        "LABO_POSTGRES_HOST": HOST,
        "LABO_POSTGRES_PORT": str(ports.postgres),
        "LABO_SECRETS_DIR": str(installation.secrets.directory(name)),
        "LABO_HTTP_PORT": str(port),
    }
    environment |= _own_settings(name, ports) | dict(settings)
    return Program(name, installation, [f"services.{name}.app"], port=port, ready_path="/readyz", environment=environment)


def _own_settings(name: str, ports: Ports) -> dict[str, str]:
    if name == GATEWAY:
        return {"LABO_WEB_PORT": str(ports.portal), "LABO_PUBLIC_URL": portal_url(ports), "LABO_OIDC_ISSUER": identity_url(ports)}
    if name == NOTIFY:
        told = {
            "LABO_INSTANCE": "notify-1",
            "LABO_SMTP_HOST": HOST,
            "LABO_SMTP_PORT": str(ports.smtp),
            "LABO_PORTAL_URL": portal_url(ports),
        }
        return told | {variable: os.environ.get(variable, value) for variable, value in HASTY.items()}
    return {}


@cache
def release() -> str:
    """The project's version, and the commit when this is a clone."""
    version: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    with suppress(OSError):
        asked = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
        if asked.returncode == 0:
            return f"{version}+{asked.stdout.strip()}"
    return version
