"""Passwords: made once, kept, and readable by their owner alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.accounts import NATS_USERS, SERVICES, Secrets
from shared.settings import Settings


def test_passwords_are_made_once_and_differ(tmp_path: Path) -> None:
    made = Secrets(tmp_path / "secrets")
    passwords = [*made.all_nats().values(), *made.all_postgres().values(), made.postgres("labo")]

    assert len(set(passwords)) == len(NATS_USERS) + len(SERVICES) + 1
    assert min(map(len, passwords)) >= 32
    assert Secrets(tmp_path / "secrets").all_nats() == made.all_nats()


def test_files_and_folders_are_closed_to_others(tmp_path: Path) -> None:
    made = Secrets(tmp_path / "secrets")
    made.all_nats()

    for path in (tmp_path / "secrets").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_process_that_is_given_its_folder_finds_its_passwords_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Secrets(tmp_path / "secrets")
    made.all_postgres()
    monkeypatch.setenv("LABO_SECRETS_DIR", str(made.directory("booking")))
    nats, postgres = made.nats("booking"), made.postgres("booking")

    settings = Settings(service="booking")

    assert settings.nats_password.get_secret_value() == nats
    assert settings.postgres_password.get_secret_value() == postgres
    assert sorted(path.name for path in made.directory("booking").iterdir()) == ["labo_nats_password", "labo_postgres_password"]
