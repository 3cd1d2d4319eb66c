"""The system in containers, through its only door: sign in, book, read the mail; who it runs as; what it survives; how it stops."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from deploy.accounts import SERVICES
from deploy.agents import read_agents
from tests.containers.conftest import Compose
from tests.containers.engine import children, docker, inspect, process_status
from tests.containers.test_compose_file import ONCE

pytestmark = [pytest.mark.xdist_group("containers"), pytest.mark.timeout(600)]

KEY = re.compile(r'name="cle" value="([^"]+)"')
AGENT = "agent-0060"


def soon(check: Callable[[], Any], within: float = 60.0) -> Any:
    """The first truthy answer; containers take seconds."""
    deadline = time.monotonic() + within
    while True:
        if found := check():
            return found
        assert time.monotonic() < deadline, f"still {found!r} after {within} s"
        time.sleep(0.3)


def running(compose: Compose) -> dict[str, str]:
    """Container id by service, of those that stay."""
    told = [json.loads(line) for line in compose.run("ps", "--format", "json").splitlines()]
    return {each["Service"]: each["ID"] for each in told if each["Service"] not in ONCE}


def health(compose: Compose) -> dict[str, str]:
    told = [json.loads(line) for line in compose.run("ps", "--format", "json").splitlines()]
    return {each["Service"]: each["Health"] for each in told if each["Service"] not in ONCE and each["Health"]}


@contextmanager
def signed_in(compose: Compose) -> Generator[httpx2.Client]:
    with compose.browser(base_url=compose.url(), headers={"Sec-Fetch-Site": "same-origin"}) as browser:
        leave = browser.get("/connexion", params={"suite": "/mes-inscriptions"})
        assert leave.headers["location"].startswith(compose.url("identite"))
        choose = browser.post(leave.headers["location"], data={"sub": AGENT})
        assert browser.get(choose.headers["location"]).headers["location"] == "/mes-inscriptions"
        yield browser


def book(browser: httpx2.Client) -> str:
    """The title of a session in which a seat was taken; nothing while the demonstration is still being loaded."""
    mine = {each["session_id"] for each in browser.get("/api/v1/me/bookings").json()["bookings"]}
    free = browser.get("/api/v1/sessions", params={"free": "true", "limit": 50}).json()["sessions"]
    for session in (each for each in free if each["session_id"] not in mine and each["status"] == "scheduled"):
        page = browser.get(f"/seances/{session['session_id']}").text
        if key := KEY.search(page):
            done = browser.post(f"/seances/{session['session_id']}/inscription", data={"cle": key[1]}, follow_redirects=True)
            if done.status_code == 200:
                return session["title"]
    return ""


def mails(compose: Compose, title: str) -> list[dict[str, Any]]:
    address = next(agent.email for agent in read_agents() if agent.sub == AGENT)
    with compose.browser() as reader:
        return reader.get(f"{compose.url('courrier')}/api/messages", params={"to": address, "subject": title}).json()


def test_1_an_agent_signs_in_books_and_gets_the_mail_through_the_edge(compose: Compose) -> None:
    with signed_in(compose) as browser:
        title = soon(lambda: book(browser))
    soon(lambda: mails(compose, title))

    with compose.browser() as stranger:
        front = stranger.get(compose.url())
        assert "server" not in front.headers
        assert front.headers["strict-transport-security"]
        assert stranger.get(compose.url() + "/metrics").status_code == 404
        assert stranger.post(compose.url() + "/", content=b"x" * 2_000_000).status_code == 413
    print(f"\ncompose up to healthy: {compose.up_seconds:.1f} s")


def test_2_every_process_is_without_rights(compose: Compose) -> None:
    for service, container in running(compose).items():
        told = inspect(container)
        host = told["HostConfig"]
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert host["Memory"] > 0, service
        assert host["NanoCpus"] > 0, service
        assert host["PidsLimit"], service
        for pid in (told["State"]["Pid"], *children(told["State"]["Pid"])):
            status = process_status(pid)
            assert status["Uid"].split()[0] != "0", service
            assert (int(status["CapEff"], 16), status["NoNewPrivs"]) == (0, "1"), service


def test_3_only_the_edge_is_published_and_walls_hold(compose: Compose) -> None:
    published = {name: inspect(container)["HostConfig"]["PortBindings"] for name, container in running(compose).items()}
    assert {name for name, ports in published.items() if ports} == {"edge"}
    assert {binding["HostIp"] for bound in published["edge"].values() for binding in bound} == {"127.0.0.1"}

    look = (
        "import socket,sys\ntry: socket.create_connection((sys.argv[1], int(sys.argv[2])), 3); print('open')\nexcept OSError: print('shut')"
    )

    def seen_from(service: str, host: str, port: int) -> str:
        return compose.run("exec", "-T", service, "python", "-c", look, host, str(port)).strip()

    assert seen_from("booking", "postgres", 5432) == "open"
    assert seen_from("identity", "postgres", 5432) == "shut"
    assert seen_from("identity", "nats", 4222) == "shut"
    assert seen_from("booking", "mail", 1025) == "shut"
    assert seen_from("booking", "192.0.2.1", 80) == "shut"


def test_4_prometheus_sees_every_process_and_nothing_is_wrong(compose: Compose) -> None:
    def asked(path: str) -> Any:
        return json.loads(compose.run("exec", "-T", "prometheus", "wget", "-qO-", f"http://127.0.0.1:9090{path}"))["data"]

    def up() -> bool:
        targets = asked("/api/v1/targets?state=active")["activeTargets"]
        return {target["labels"]["job"] for target in targets if target["health"] == "up"} == {*SERVICES, "nats", "prometheus"}

    soon(up)
    assert [alert["labels"]["alertname"] for alert in asked("/api/v1/alerts")["alerts"] if alert["state"] == "firing"] == []
    assert [each["url"] for each in asked("/api/v1/alertmanagers")["activeAlertmanagers"]] == ["http://alertmanager:9093/api/v2/alerts"]


@pytest.mark.parametrize("service", [*SERVICES, "nats", "postgres"])
def test_5_killed_it_comes_back_and_books_on(compose: Compose, service: str) -> None:
    container = compose.container(service)
    before = inspect(container)
    os.kill(before["State"]["Pid"], signal.SIGKILL)
    began = time.monotonic()
    soon(lambda: inspect(container)["RestartCount"] > before["RestartCount"])
    soon(lambda: set(health(compose).values()) == {"healthy"}, 90)
    print(f"\n{service} healthy again after {time.monotonic() - began:.1f} s")


def test_6_after_all_that_a_booking_and_its_mail(compose: Compose) -> None:
    with signed_in(compose) as browser:
        title = soon(lambda: book(browser))
    soon(lambda: mails(compose, title))


def test_7_a_stop_is_graceful(compose: Compose) -> None:
    containers = running(compose)
    began = time.monotonic()
    compose.run("stop")
    print(f"\nstopped in {time.monotonic() - began:.1f} s")

    codes = {name: inspect(container)["State"]["ExitCode"] for name, container in containers.items()}
    ended_by_signal = {"topology", "mail"}  # they end as SIGTERM tells: nothing of theirs is half done
    assert {name: code for name, code in codes.items() if code and not (name in ended_by_signal and code == 143)} == {}
    for name in SERVICES:
        assert '"event": "stopped"' in docker("logs", "--tail", "5", containers[name]), name
