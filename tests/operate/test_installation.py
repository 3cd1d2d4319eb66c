"""One folder, one stack; and ports that are taken or wrongly named."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from deploy.embedded import NatsServer, PostgresServer
from deploy.installation import Installation, Ports
from deploy.stack import Stack
from deploy.unprivileged import SetupError

pytestmark = pytest.mark.usefixtures("quiet_environment")


def test_a_second_stack_on_the_same_folder_is_refused_in_one_sentence(folder: Path) -> None:
    first, second = Installation(folder), Installation(folder)
    first.create()
    first.hold()
    first.tell(ports := Ports.free())

    with pytest.raises(SetupError, match=rf"already runs on {folder} \(process \d+, portal at http://127.0.0.1:{ports.portal}\): stop it"):
        second.hold()

    first.release()
    second.hold()
    second.release()


async def test_a_refused_stack_leaves_the_running_one_alone(folder: Path) -> None:
    running = Installation(folder)
    running.create()
    running.hold()
    running.tell(Ports.free())

    with pytest.raises(SetupError):
        async with Stack(Installation(folder), Ports.free()):
            pytest.fail("it started")

    assert running.running() is not None
    running.release()
    assert running.running() is None


async def test_a_taken_port_is_named_with_the_way_to_choose_another(folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        free = Ports.free()
        ports = Ports(portal=taken, mail=free.mail, identity=free.identity)

        with pytest.raises(SetupError, match=rf"^port {taken}, where the portal answers, is taken .* LABO_PORTAL_PORT=\d+ make run$"):
            async with Stack(Installation(folder), ports):
                pytest.fail("it started")


@pytest.mark.parametrize("value", ["eighty", "0", "70000", "-1", "80 80"])
def test_a_port_that_is_none_is_refused_by_the_name_of_its_variable(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("LABO_MAIL_PORT", value)

    with pytest.raises(SetupError, match="LABO_MAIL_PORT"):
        Ports.chosen()


def test_ports_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABO_PORTAL_PORT", "8081")

    assert (Ports.chosen().portal, Ports.chosen().mail) == (8081, 8025)


def test_a_folder_that_cannot_be_made_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(SetupError, match="cannot be used: Not a directory"):
        Installation(tmp_path / "file" / "data").create()


def test_passwords_are_for_their_owner_only(folder: Path) -> None:
    installation = Installation(folder)
    installation.create()
    installation.secrets.nats("booking")

    files = [path for path in installation.secrets.folder.rglob("*") if path.is_file()]
    assert files
    assert all(path.stat().st_mode & 0o077 == 0 for path in [installation.secrets.folder, *files])


def test_data_whose_passwords_are_gone_are_put_aside_and_streams_without_data_are_forgotten(folder: Path) -> None:
    installation = Installation(folder)
    (folder / "postgres" / "data").mkdir(parents=True)
    (folder / "postgres" / "data" / "PG_VERSION").write_text("18\n")
    (folder / "nats" / "jetstream").mkdir(parents=True)
    assert installation.create()
    stack = Stack(installation, Ports.free())
    postgres, nats = PostgresServer(folder / "postgres", password="new"), NatsServer(folder / "nats", accounts="")

    stack.part_with_another_life(postgres, nats, first=True)

    assert not postgres.data.exists()
    (aside,) = (folder / "postgres").glob("data-*")
    assert (aside / "PG_VERSION").exists()
    assert str(aside) in stack.terminal.lines[-1]
    assert not (folder / "nats" / "jetstream").exists()
    postgres.kill()
    nats.kill()


def test_data_of_a_running_life_are_left_alone(folder: Path) -> None:
    installation = Installation(folder)
    installation.create()
    (folder / "postgres" / "data").mkdir(parents=True)
    (folder / "nats" / "jetstream").mkdir(parents=True)
    stack = Stack(installation, Ports.free())

    stack.part_with_another_life(
        PostgresServer(folder / "postgres", password="new"), NatsServer(folder / "nats", accounts=""), first=installation.create()
    )

    assert (folder / "postgres" / "data").exists()
    assert (folder / "nats" / "jetstream").exists()
