"""Every query of every panel and alert, asked of a real Prometheus that scrapes the whole stack under traffic.

What is empty must be named here with its reason: a typo in a metric's name is empty too.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio

from deploy.installation import Installation, Ports
from deploy.observability.__main__ import FOLDER
from deploy.stack import Stack
from tests.conftest import eventually
from tests.e2e.conftest import stack_folder
from tests.e2e.people import Api, a_session, is_open, register_visitors, tokens
from tests.observability.programs import Prometheus, program, watching
from tests.observability.test_dashboards import panels
from tests.observability.test_rules import alerts

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("observability"), pytest.mark.timeout(240)]

TRAFFIC_SECONDS = 14.0
VISITORS = [f"visitor-{number}" for number in range(8)]

EMPTY_PANELS = {
    "labo-overview: Timers run": "nothing is due during the test",
    "labo-mail: Attempts": "nobody subscribed to events",
    "labo-mail: Time of an attempt": "nobody subscribed to events",
    "labo-mail: Tchap": "the bot is off",
}
EMPTY_SELECTORS = {
    'labo_requests_total{code="internal_error"}': "there is no bug",
    'labo_http_requests_total{status=~"5.."}': "nothing fails",
}
KEYWORDS = {"and", "or", "unless", "offset", "by", "on", "without", "ignoring", "bool", "group_left", "group_right"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def prometheus() -> AsyncIterator[Prometheus]:
    program("prometheus")
    with stack_folder() as folder:
        async with Stack(Installation(folder / "stack"), Ports.free(), demonstration=False) as stack, watching(stack, folder) as asked:
            traffic = asyncio.create_task(use(stack))
            await asyncio.sleep(TRAFFIC_SECONDS)
            yield asked
            traffic.cancel()


async def use(stack: Stack) -> None:
    """Until cancelled: agents look, book, book twice, queue, cancel."""
    bus = await stack.operator_bus()
    try:
        await register_visitors(bus, VISITORS)
        issued = await tokens(bus, VISITORS)
        async with httpx2.AsyncClient(base_url=stack.portal_url, timeout=20) as http:
            while True:
                session_id = await a_session(bus, capacity=4)
                await eventually(lambda session_id=session_id: is_open(stack, session_id))
                agents = [Api(http, token) for token in issued]
                booked = await asyncio.gather(*(agent.book(session_id) for agent in agents))
                await agents[0].book(session_id)
                await http.get("/")
                for agent, answer in zip(agents, booked[:5], strict=False):
                    await agent.cancel(answer.json()["booking_id"])
                await agents[0].cancel(str(uuid4()))
                await asyncio.sleep(0.2)
    finally:
        await bus.close()


def asked_now(expression: str) -> str:
    return expression.replace("$__rate_interval", "30s").replace("$job", ".+")


async def is_empty(prometheus: Prometheus, expression: str) -> bool:
    return all(math.isnan(value) for value in await prometheus.ask(asked_now(expression)))


def selectors(expression: str) -> list[str]:
    """The series that an expression is made of: `name{…}`, without functions, keywords, groupings and times."""
    bare = re.sub(r"\b(by|on|without|ignoring)\s*\([^)]*\)|\boffset\s+\w+|\[[^\]]*\]", " ", expression)
    found = re.findall(r"\b([a-z]\w*)\b(?!\s*\()(\{[^}]*\})?", bare)
    return [name + condition for name, condition in found if name not in KEYWORDS]


async def test_the_series_of_an_expression_are_found() -> None:
    expression = 'max by (job) (labo_mails{state=~"new"} offset 1h or 0 * up) > 60 unless on (job) rate(labo_x_total[5m])'

    assert selectors(expression) == ['labo_mails{state=~"new"}', "up", "labo_x_total"]


async def test_every_panel_shows_something(prometheus: Prometheus) -> None:
    empty: set[str] = set()
    for file in FOLDER.glob("*.json"):
        document = json.loads(file.read_text())
        for panel in panels(document):
            for target in panel["targets"]:
                if await is_empty(prometheus, target["expr"]):
                    empty.add(f"{document['uid']}: {panel['title']}")

    assert empty == set(EMPTY_PANELS)


async def test_every_alert_is_quiet_and_made_of_series_that_exist(prometheus: Prometheus) -> None:
    missing: set[str] = set()
    for rule in alerts():
        await prometheus.ask(rule["expr"])
        for selector in selectors(rule["expr"]):
            if await is_empty(prometheus, selector):
                missing.add(selector)
    assert missing == set(EMPTY_SELECTORS)

    firing = [alert["labels"]["alertname"] for alert in (await prometheus.get("/api/v1/alerts"))["alerts"]]
    assert firing == [], "nothing is wrong with this stack"


async def test_a_typo_in_a_metric_is_caught(prometheus: Prometheus) -> None:
    assert not await is_empty(prometheus, "sum by (job) (rate(labo_outbox_published_total[$__rate_interval]))")
    assert await is_empty(prometheus, "sum by (job) (rate(labo_outbox_publised_total[$__rate_interval]))")

    with pytest.raises(AssertionError, match="parse error"):
        await is_empty(prometheus, "sum by (job (labo_outbox_published_total)")
