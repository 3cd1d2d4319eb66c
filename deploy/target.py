"""Which Lab-O a command is for: the embedded stack that runs on the data folder, or the one that the environment names."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from nats.errors import Error as NatsError
from nats.errors import NoServersError
from pydantic import SecretStr
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.accounts import OPERATOR, Secrets
from deploy.embedded import ADMIN_ROLE
from deploy.installation import Installation, Running
from deploy.migrate import engine_of
from deploy.unprivileged import SetupError
from shared.bus import Bus, OrderedClient, connection_options
from shared.database import is_infrastructure
from shared.settings import Settings

SECRETS = "LABO_SECRETS"


@dataclass(frozen=True)
class Target:
    """Where to ask, and as whom."""

    installation: Installation | None = None
    running: Running | None = None

    @property
    def embedded(self) -> bool:
        return self.settings(OPERATOR).environment == "embedded"

    @property
    def secrets(self) -> Secrets:
        return self.installation.secrets if self.installation else Secrets(Path(os.environ[SECRETS]))

    def settings(self, account: str) -> Settings:
        if self.installation and self.running:
            return self.installation.settings(account, self.running.ports)
        if account == ADMIN_ROLE:
            return Settings(service=account, postgres_password=SecretStr(self.secrets.postgres(account)))
        return Settings(service=account, nats_password=SecretStr(self.secrets.nats(account)))

    @asynccontextmanager
    async def database(self) -> AsyncGenerator[AsyncEngine]:
        """As the owner. When PostgreSQL is away, one sentence."""
        settings = self.settings(ADMIN_ROLE)
        engine = engine_of(settings, settings.postgres_database)
        try:
            yield engine
        except (DBAPIError, OSError, asyncpg.PostgresError) as error:
            if is_infrastructure(error) or isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
                raise SetupError(f"PostgreSQL does not answer on port {settings.postgres_port}: {error}") from error
            raise
        finally:
            await engine.dispose()

    @asynccontextmanager
    async def nats(self, user: str = OPERATOR) -> AsyncGenerator[OrderedClient]:
        settings = self.settings(user)
        client = OrderedClient()
        try:
            options: dict[str, Any] = connection_options(settings, user) | {"allow_reconnect": False, "disconnected_cb": None}
            await client.connect(**options)
        except (NatsError, NoServersError, OSError, TimeoutError) as error:
            raise SetupError(f"nats-server does not answer at {settings.nats_url}") from error
        try:
            yield client
        finally:
            await client.close()

    @asynccontextmanager
    async def bus(self) -> AsyncGenerator[Bus]:
        async with self.nats() as client:
            yield Bus(client, OPERATOR)


def find() -> Target:
    """The stack that runs on the data folder; without one, what `LABO_SECRETS` and the other variables say; else one sentence."""
    installation = Installation()
    if running := installation.running():
        return Target(installation, running)
    if os.environ.get(SECRETS):
        return Target()
    raise SetupError(f"no Lab-O runs on {installation.folder}: start it with `make run`, or name its data folder with LABO_DATA")
