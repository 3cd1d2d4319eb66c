"""What the server refuses on the bus: each service speaks for itself, reads its own durables, and builds nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from nats.js.api import StreamInfo

from deploy.accounts import MAY_ASK, NATS_USERS, SERVICES, SYSTEM, configuration
from deploy.child import HOST
from deploy.embedded import NatsServer
from tests.conftest import PASSWORDS, TOPOLOGY
from tests.faults.table import Report

Connect = Callable[..., Awaitable[Client]]

SESSIONS = next(durable for durable in TOPOLOGY.durables if durable.name == "booking-sessions")
STREAMS = [stream.name for stream in TOPOLOGY.streams]


class Refusals:
    """A client's asynchronous errors: the only place where nats-py shows a refusal."""

    def __init__(self) -> None:
        self.said: list[str] = []

    async def hear(self, error: Exception) -> None:
        self.said.append(str(error))

    async def of(self, kind: str, subject: str, client: Client) -> bool:
        """Whether the server refused this subject, which nats-py tells in lower case and at times after the answer to a later ping."""
        for _ in range(3):
            await client.flush()
            if any(f'permissions violation for {kind} to "{subject}"'.lower() in said for said in self.said):
                return True
            await asyncio.sleep(0.002)
        return False


async def refused_publishing(nats_as: Connect, user: str, subjects: Sequence[str]) -> set[str]:
    refusals = Refusals()
    client = await nats_as(user, error_cb=refusals.hear)
    refused: set[str] = set()
    for subject in subjects:  # one at a time: nats-py loses its way when errors fill its read buffer
        await client.publish(subject, b"{}")
        if await refusals.of("publish", subject, client):
            refused.add(subject)
    return refused


def administration() -> list[str]:
    """All that could change or leak the streams, beyond a service's own durables."""
    calls = [
        f"$JS.API.STREAM.{verb}.{stream}" for verb in ("CREATE", "UPDATE", "DELETE", "PURGE", "MSG.GET", "MSG.DELETE") for stream in STREAMS
    ]
    calls += [f"$JS.API.CONSUMER.{verb}.{stream}.stolen" for verb in ("CREATE", "DURABLE.CREATE", "DELETE", "PAUSE") for stream in STREAMS]
    calls += [f"$JS.API.CONSUMER.CREATE.{stream}" for stream in STREAMS]
    calls += [f"$JS.API.CONSUMER.{verb}.{each.stream}.{each.name}" for verb in ("DELETE", "PAUSE", "RESET") for each in TOPOLOGY.durables]
    return [
        *calls,
        "$JS.API.DIRECT.GET.EVT_BOOKING",
        "$SYS.REQ.SERVER.PING",
        "pub.catalog.session_scheduled.v1.x",
        "in.partner.x.y.v1",
        "clock.shifted",
    ]


@pytest.mark.parametrize("service", SERVICES)
async def test_F26_a_service_may_not_speak_for_another_nor_read_what_is_not_its_own(
    nats: NatsServer, nats_as: Connect, service: str, report: Report
) -> None:
    others = [other for other in SERVICES if other != service]
    forbidden = [subject for other in others for subject in (f"evt.{other}.fact.v1.x", f"relay.{other}.wake")]
    forbidden += [f"$JS.API.STREAM.INFO.EVT_{other.upper()}" for other in others]
    forbidden += [
        call.format(stream=each.stream, durable=each.name)
        for each in TOPOLOGY.durables
        if each.service != service
        for call in (
            "$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}",
            "$JS.API.CONSUMER.INFO.{stream}.{durable}",
            "$JS.ACK.{stream}.{durable}.1.1.1.1.0",
            "$JS.ACK.domain.account.{stream}.{durable}.1.1.1.1.0",
        )
    ]
    forbidden += administration()

    refused = await refused_publishing(nats_as, service, forbidden)

    said = nats.command.log.read_text()
    wrong = [f"I10 {service} may publish {subject}" for subject in forbidden if subject not in refused]
    wrong += [f"I10 the log does not tell of {subject}" for subject in refused if f'Subject "{subject}"' not in said]
    report.fault("F26 forged, foreign, purged, by the services", len(forbidden), wrong, "all refused, all in the server's log")


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_asks_only_whom_it_needs(nats_as: Connect, service: str) -> None:
    asked = [f"rpc.{other}.anything.v1" for other in SERVICES] + ["rpc.gateway.get_contact.v1"]
    allowed = {"gateway": asked, "notify": ["rpc.gateway.get_contact.v1"]}.get(service, [])

    assert await refused_publishing(nats_as, service, asked) == set(asked) - set(allowed)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_hears_only_its_own_requests_and_inbox(nats_as: Connect, service: str) -> None:
    others = [other for other in SERVICES if other != service]
    forbidden = [
        subject for other in others for subject in (f"rpc.{other}.>", f"_INBOX_{other}.>", f"relay.{other}.wake", f"evt.{other}.>")
    ]
    forbidden += [">", "evt.>", f"evt.{service}.>", "rpc.>", "pub.>", "_INBOX.>", "$JS.>", "$SYS.>", "in.partner.>"]
    refusals = Refusals()
    client = await nats_as(service, error_cb=refusals.hear)

    for subject in forbidden:
        await client.subscribe(subject)

        assert await refusals.of("subscription", subject, client), subject


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_may_do_all_that_it_needs(nats_as: Connect, admin_nats: Client, service: str) -> None:
    refusals = Refusals()
    client = await nats_as(service, error_cb=refusals.hear)
    stream = client.jetstream()

    for subject in (f"rpc.{service}.>", "$SRV.>", "clock.shifted", f"relay.{service}.wake"):
        await client.subscribe(subject)
    await client.publish(f"relay.{service}.wake")
    await stream.publish(f"evt.{service}.fact.v1.x", b"{}", stream=f"EVT_{service.upper()}")
    assert (await stream.stream_info(f"EVT_{service.upper()}")).state.messages == 1
    for durable in TOPOLOGY.durables_of(service):
        assert (await stream.consumer_info(durable.stream, durable.name)).name == durable.name

    assert refusals.said == []


async def test_a_durable_is_fetched_and_acknowledged_by_its_service_alone(nats_as: Connect, admin_nats: Client) -> None:
    catalog = (await nats_as("catalog")).jetstream()
    await catalog.publish("evt.catalog.session_scheduled.v1.x", b"{}", stream="EVT_CATALOG")
    booking = (await nats_as("booking")).jetstream()

    subscription = await booking.pull_subscribe_bind(durable=SESSIONS.name, stream=SESSIONS.stream)
    [message] = await subscription.fetch(1, timeout=2)
    await message.ack_sync(timeout=2)

    info = await admin_nats.jetstream().consumer_info(SESSIONS.stream, SESSIONS.name)
    assert (info.num_ack_pending, info.num_pending) == (0, 0)


async def test_a_forged_event_is_not_stored_and_the_attempt_is_logged(nats: NatsServer, nats_as: Connect, admin_nats: Client) -> None:
    assert await refused_publishing(nats_as, "notify", ["evt.booking.booking_confirmed.v1.x"])

    info: StreamInfo = await admin_nats.jetstream().stream_info("EVT_BOOKING")
    assert info.state.messages == 0
    assert "Publish Violation" in nats.command.log.read_text()


async def test_an_answer_cannot_be_steered_into_a_neighbours_stream(nats_as: Connect, admin_nats: Client) -> None:
    """Whoever asks chooses where the answer goes; under the server's `allow_responses` it would go there, whatever the subject."""
    booking = await nats_as("booking")

    async def answer(message: Msg) -> None:
        await message.respond(b'{"ok": {}}')

    await booking.subscribe("rpc.booking.list_bookings.v1", cb=answer)
    await booking.flush()
    gateway = await nats_as("gateway")

    await gateway.publish("rpc.booking.list_bookings.v1", b"{}", reply="evt.catalog.session_scheduled.v1.x")
    assert (await gateway.request("rpc.booking.list_bookings.v1", b"{}", timeout=2)).data == b'{"ok": {}}'

    assert (await admin_nats.jetstream().stream_info("EVT_CATALOG")).state.messages == 0


async def test_the_operator_asks_and_reads_but_writes_no_event_and_no_stream(nats_as: Connect, admin_nats: Client) -> None:
    forbidden = [f"evt.{service}.fact.v1.x" for service in SERVICES]
    forbidden += [call for call in administration() if call != "clock.shifted"]
    forbidden += [f"$JS.API.CONSUMER.MSG.NEXT.{SESSIONS.stream}.{SESSIONS.name}", f"$JS.ACK.{SESSIONS.stream}.{SESSIONS.name}.1.1.1.1.0"]
    assert await refused_publishing(nats_as, "operator", forbidden) == set(forbidden)

    refusals = Refusals()
    operator = await nats_as("operator", error_cb=refusals.hear)
    assert len(await operator.jetstream().streams_info()) == len(STREAMS)
    assert (await operator.jetstream().consumer_info(SESSIONS.stream, SESSIONS.name)).num_pending == 0
    await operator.publish("clock.shifted")
    with pytest.raises(NoRespondersError):
        await operator.request("rpc.catalog.list_sessions.v1", b"{}", timeout=2)
    assert refusals.said == []


async def test_the_topology_user_writes_no_event_and_asks_nothing(nats_as: Connect) -> None:
    forbidden = ["evt.booking.fact.v1.x", "rpc.booking.book_seat.v1", "clock.shifted", "$SRV.PING"]

    assert await refused_publishing(nats_as, "topology", forbidden) == set(forbidden)


@pytest.mark.parametrize(
    "credentials",
    [{}, {"user": "booking"}, {"user": "booking", "pass": PASSWORDS["notify"]}, {"user": "stranger", "pass": "x"}],
    ids=["anonymous", "no password", "another's password", "unknown user"],
)
async def test_nobody_enters_without_the_right_password(nats: NatsServer, credentials: dict[str, str]) -> None:
    reader, writer = await asyncio.open_connection(HOST, nats.port)
    await reader.readline()

    writer.write(f"CONNECT {json.dumps(credentials)}\r\nPING\r\n".encode())

    assert await reader.readline() == b"-ERR 'Authorization Violation'\r\n"
    writer.close()
    await writer.wait_closed()


async def test_the_system_account_sees_the_server_and_no_event(nats: NatsServer, nats_as: Connect) -> None:
    refusals = Refusals()
    system = await nats_as(SYSTEM, error_cb=refusals.hear)

    server = json.loads((await system.request("$SYS.REQ.SERVER.PING", b"", timeout=2)).data)
    assert server["server"]["name"] == nats.server_name

    heard: list[Msg] = []

    async def hear(message: Msg) -> None:
        heard.append(message)

    await system.subscribe("evt.>", cb=hear)
    await system.flush()
    await (await nats_as("booking")).jetstream().publish("evt.booking.fact.v1.x", b"{}", stream="EVT_BOOKING")
    await system.flush()
    assert heard == []


def test_no_password_can_break_out_of_the_configuration() -> None:
    tricky = {user: f'"}} {user} ]\n' for user in NATS_USERS}

    text = configuration(TOPOLOGY, tricky)

    assert text.count("\n") == configuration(TOPOLOGY, PASSWORDS).count("\n")


def test_who_may_ask_is_who_is_answered() -> None:
    assert set(MAY_ASK) == {"gateway", "notify", "operator"}
