"""Before the first service: roles, schemas and tables; and, in a demonstration, its clock. `python -m deploy.containers.prepare`.

Connects as the owner (`LABO_POSTGRES_…`); passwords are in `LABO_SECRETS`, a folder per role.
"""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import text

from deploy.accounts import Secrets
from deploy.embedded import ADMIN_ROLE
from deploy.migrate import engine_of, run
from deploy.stack import DEMONSTRATION_BEGINS
from shared.settings import Settings


async def prepare(settings: Settings, secrets: Secrets) -> None:
    await run(settings, secrets.all_postgres())
    if settings.environment == "embedded":
        engine = engine_of(settings, settings.postgres_database)
        offset = (DEMONSTRATION_BEGINS - datetime.now(UTC)).total_seconds()
        async with engine.begin() as tx:
            await tx.execute(
                text("insert into platform.clock (offset_seconds) values (:offset) on conflict do nothing"), {"offset": offset}
            )
        await engine.dispose()


def main() -> None:
    secrets = Secrets(Path(os.environ["LABO_SECRETS"]))
    settings = Settings(service=ADMIN_ROLE, postgres_password=SecretStr(secrets.postgres(ADMIN_ROLE)))
    asyncio.run(prepare(settings, secrets))
    print("all schemas are up to date")


if __name__ == "__main__":
    main()
