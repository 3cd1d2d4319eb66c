"""What a process is told from outside: environment variables `LABO_…`, and secrets from files."""

from __future__ import annotations

import os
from typing import Any, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings that every service has. `LABO_SECRETS_DIR` names a folder with one file per secret, such as `labo_nats_password`."""

    model_config = SettingsConfigDict(env_prefix="LABO_", extra="ignore", frozen=True)

    service: str
    """Name of the service; also its Postgres role and schema, and its NATS user."""
    environment: Literal["embedded", "production"] = "production"
    """`embedded` allows the demonstration's clock and tokens; `production` refuses both."""

    nats_url: str = "nats://127.0.0.1:4222"
    nats_password: SecretStr = SecretStr("")

    postgres_host: str = "127.0.0.1"
    postgres_port: int = 5432
    postgres_database: str = "labo"
    postgres_password: SecretStr = SecretStr("")
    postgres_pool: int = Field(default=8, ge=1)
    """Connections at most, beside the relay's and the clock's own."""

    http_host: str = "127.0.0.1"
    http_port: int = 0
    """Port of `/livez`, `/readyz` and `/metrics`; 0 takes a free one."""

    web_host: str = "127.0.0.1"
    web_port: int = 8080
    """Where a service with a public web application (gateway) serves it."""

    otlp_endpoint: str | None = None
    """Base address of an OTLP/HTTP collector; without it, traces are made and carried but not exported."""
    log_level: str = "INFO"

    def __init__(self, **values: Any) -> None:
        if secrets := os.environ.get("LABO_SECRETS_DIR"):
            values.setdefault("_secrets_dir", secrets)
        super().__init__(**values)
