"""The gateway as it runs: its pages and its API on a real port, its bus, its neighbours catalog, booking and projects, and a provider."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from pydantic import SecretStr
from werkzeug.serving import make_server

from deploy.agents import Agent, read_agents
from deploy.child import free_port
from services.booking.app import approval, availability, fairness, feedback, framing, groups, modes, moves, names, quorum, seats
from services.booking.app import tailored as requests
from services.booking.attendance import handlers as attendance
from services.booking.certificates import handlers as certificates
from services.booking.strikes import handlers as strikes
from services.catalog.activities import handlers as activities
from services.catalog.life import handlers as life
from services.catalog.quorum import handlers as catalog_quorum
from services.catalog.series import handlers as series
from services.gateway.app import SERVICE as GATEWAY
from services.gateway.settings import GatewaySettings
from services.gateway.web.application import build
from services.notify.bounces import handlers as bounces
from services.notify.feeds import handlers as feeds
from services.notify.mail import handlers as mail
from services.notify.preferences import handlers as preferences
from services.notify.reminders import handlers as reminders
from services.projects.app import calls, engagements
from shared.bus import Bus, Caller
from shared.consumers import Inlet
from shared.contracts.gateway import IssueDemoToken, RegisterAgent
from shared.database import Database
from shared.listening import Listener
from shared.relay import Relay
from shared.requests import Responder
from shared.service import Context, Service
from shared.settings import Settings
from shared.web import start_web
from tests.gateway.given import schedule

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # authlib.jose, which the mock provider uses, says that it will go
    from deploy.identity import provider, signing_key

SECRET = "secret-of-the-portal"
OPERATOR = Caller("operator", frozenset({"operator", "lab_team"}))
ALICE, BOB, *OTHERS = read_agents()
LAB = next(agent for agent in OTHERS if "operator" in agent.roles)
COACH = next(agent for agent in OTHERS if "coach" in agent.roles)

NEIGHBOURS = {
    "catalog": Service("catalog", requests=[activities.requests, life.requests, series.requests], events=[catalog_quorum.events]),
    "booking": Service(
        "booking",
        requests=[
            seats.requests,
            availability.requests,
            fairness.requests,
            approval.requests,
            modes.requests,
            moves.requests,
            quorum.requests,
            feedback.requests,
            groups.requests,
            names.requests,
            attendance.requests,
            certificates.requests,
            strikes.requests,
            requests.requests,
            framing.requests,
        ],
        events=[seats.events, names.events, attendance.events, strikes.events, requests.events],
        background=[availability.announce_availability],
    ),
    "notify": Service(
        "notify", requests=[reminders.requests, preferences.requests, feeds.requests, bounces.requests, mail.requests], events=[mail.events]
    ),
    "projects": Service("projects", requests=[calls.requests, engagements.requests]),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The mock provider's own use of authlib, on its thread, is not ours to mend."""
    for item in items:
        item.add_marker(pytest.mark.filterwarnings("ignore:get_jwt_config:DeprecationWarning"))


@dataclass
class House:
    """The gateway and whichever neighbours a test starts, all in this process."""

    settings: GatewaySettings
    database: Database
    bus: Bus
    settings_for: Callable[..., Settings]
    stack: AsyncExitStack
    stops: dict[str, AsyncExitStack] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.settings.public_url

    def browser(self, **options: Any) -> httpx2.AsyncClient:
        """A client with cookies, as a browser has them."""
        client = httpx2.AsyncClient(base_url=self.url, timeout=20, verify=False, **options)
        self.stack.push_async_callback(client.aclose)
        return client

    async def start(self, *names: str) -> None:
        """Start neighbours, and hear what they say."""
        for name in names:
            self.stops[name] = stack = await self.stack.enter_async_context(AsyncExitStack())
            settings = self.settings_for(name)
            database = Database.of(settings)
            stack.push_async_callback(database.dispose)
            bus = await Bus.connect(settings)
            stack.push_async_callback(bus.close)
            await serve(stack, NEIGHBOURS[name], settings, database, bus)

    async def stop(self, name: str) -> None:
        await self.stops[name].aclose()

    async def register(self, *agents: Agent) -> None:
        orders = (
            RegisterAgent(
                agent_id=agent.agent_id,
                sub=agent.sub,
                given_name=agent.given_name,
                usual_name=agent.usual_name,
                email=agent.email,
                siret=agent.org_unit.siret,
                org_unit=agent.org_unit.code,
                department=agent.org_unit.department,
                roles=agent.roles,  # pyright: ignore[reportArgumentType]
            )
            for agent in agents
        )
        await asyncio.gather(*(self.bus.ask(order, OPERATOR) for order in orders))

    async def token(self, agent: Agent) -> str:
        """A bearer token of an agent who is in the directory."""
        return (await self.bus.ask(IssueDemoToken(sub=agent.sub), OPERATOR)).token

    async def script(self, agent: Agent, **headers: str) -> httpx2.AsyncClient:
        """A program that acts for an agent."""
        return self.browser(headers={"Authorization": f"Bearer {await self.token(agent)}"} | headers)


async def serve(stack: AsyncExitStack, service: Service, settings: Settings, database: Database, bus: Bus) -> None:
    """The parts that a process has (`shared/service.py`), without its signals and its health port."""
    responder = Responder(bus, database, service.requests)
    await responder.start()
    stack.push_async_callback(responder.drain)
    context = Context(settings, database, bus)
    heard = [consumer for each in service.events for consumer in each.all]
    listener = Listener(settings, bus, [Inlet(consumer, database) for consumer in heard])
    for work in (
        Relay(database, bus, f"EVT_{service.name.upper()}").run(),
        listener.run(),
        *(loop(context) for loop in service.background),
    ):
        until_the_end(stack, work)
    stack.push_async_callback(listener.stop)


def until_the_end(stack: AsyncExitStack, work: Awaitable[None]) -> None:
    task = asyncio.ensure_future(work)

    async def stop() -> None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(stop)


@pytest.fixture
async def house(settings_for: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """The gateway alone, with its own bus; `await house.start("catalog")` brings a neighbour in."""
    monkeypatch.setenv("LABO_ENVIRONMENT", "embedded")
    port, base = free_port(), settings_for("gateway")
    settings = GatewaySettings(
        **base.model_dump(exclude={"service", "web_port"}),
        web_port=port,
        public_url=f"http://127.0.0.1:{port}",
        oidc_issuer=f"http://127.0.0.1:{free_port()}",
        oidc_client_secret=SECRET,  # pyright: ignore[reportArgumentType]
        link_secret=SecretStr("what notify and the gateway share"),
        certificate_key=SecretStr("A" * 43),
    )
    async with AsyncExitStack() as stack:
        database = Database.of(settings)
        stack.push_async_callback(database.dispose)
        bus = await Bus.connect(settings)
        stack.push_async_callback(bus.close)
        started = House(settings, database, bus, settings_for, stack)
        await serve(stack, GATEWAY, settings, database, bus)
        server = start_web(build(Context(settings, database, bus)), "127.0.0.1", port)

        async def stop() -> None:
            server.should_exit = True
            await server.finished.wait()

        stack.push_async_callback(stop)
        while not server.started:
            await asyncio.sleep(0.01)
        yield started


@pytest.fixture(scope="session")
def provider_key(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return signing_key(Path(tmp_path_factory.mktemp("identity")) / "key.pem")


@pytest.fixture
def identity(house: House, provider_key: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[IdentityProvider]:
    """The local provider of the demonstration, on the address that the gateway was told."""
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    running = IdentityProvider(house.settings, provider_key, read_agents())
    running.start()
    yield running
    running.stop()


class IdentityProvider:
    """`deploy.identity` on a thread. `wrap` lets a test stand between it and the gateway."""

    def __init__(self, settings: GatewaySettings, key: Any, agents: Sequence[Agent]) -> None:
        self._port = int(settings.oidc_issuer.rpartition(":")[2])
        self.application = provider(settings.public_url, SECRET, key, agents)
        self.key = key
        self._server: Any = None

    def start(self) -> None:
        self._server = make_server("127.0.0.1", self._port, self.application, threaded=True)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


async def sign_in(browser: httpx2.AsyncClient, agent: Agent, page: str = "/") -> httpx2.Response:
    """What a person does: follow « Se connecter », choose who they are, come back. The answer is that of the way back."""
    to_provider = await browser.get("/connexion", params={"suite": page})
    assert to_provider.status_code == 303, to_provider.text
    chosen = await browser.post(to_provider.headers["location"], data={"sub": agent.sub})
    assert chosen.status_code == 302, chosen.text
    return await browser.get(chosen.headers["location"])


async def add_session(house: House, **changed: Any) -> UUID:
    """A scheduled session of a published activity, through catalog's own requests."""
    return await schedule(house.bus, OPERATOR, **changed)
