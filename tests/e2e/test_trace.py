"""One trace from the click to the mail: HTTP, request, Postgres, event, mail. Received as any OTLP collector would."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx2
import pytest
import pytest_asyncio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deploy.child import free_port
from deploy.installation import Installation, Ports
from deploy.stack import Stack
from shared.web import start_web
from tests.conftest import eventually
from tests.e2e.conftest import stack_folder
from tests.e2e.people import Api, a_session, is_open, register_visitors, tokens

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("trace"), pytest.mark.timeout(180)]

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


@dataclass
class Collector:
    """Spans by trace: (service, name of the span)."""

    port: int = field(default_factory=free_port)
    spans: dict[str, set[tuple[str, str]]] = field(default_factory=dict[str, set[tuple[str, str]]])

    async def take(self, request: Request) -> Response:
        sent = ExportTraceServiceRequest.FromString(await request.body())
        for each in sent.resource_spans:
            service = next(item.value.string_value for item in each.resource.attributes if item.key == "service.name")
            for span in (span for scope in each.scope_spans for span in scope.spans):
                self.spans.setdefault(span.trace_id.hex(), set()).add((service, span.name))
        return Response()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def collector() -> AsyncIterator[Collector]:
    collector = Collector()
    server = start_web(Starlette(routes=[Route("/v1/traces", collector.take, methods=["POST"])]), "127.0.0.1", collector.port)
    yield collector
    server.should_exit = True
    await server.finished.wait()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def traced(collector: Collector) -> AsyncIterator[Stack]:
    settings = {"LABO_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}", "OTEL_BSP_SCHEDULE_DELAY": "200"}
    with stack_folder() as folder:
        async with Stack(Installation(folder), Ports.free(), settings=settings, demonstration=False) as stack:
            yield stack


async def test_a_booking_is_one_trace_from_the_click_to_the_mail(traced: Stack, collector: Collector) -> None:
    bus = await traced.operator_bus()
    await register_visitors(bus, ["visitor"])
    session_id = await a_session(bus, capacity=5)
    (token,) = await tokens(bus, ["visitor"])
    await bus.close()
    await eventually(lambda: is_open(traced, session_id))

    async with httpx2.AsyncClient(base_url=traced.portal_url, timeout=20) as http:
        api = Api(http, token)
        headers = api.headers | {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01"}
        answer = await http.post(f"/api/v1/sessions/{session_id}/bookings", headers=headers)
        assert answer.status_code == 201

    def whole() -> bool:
        spans = collector.spans.get(TRACE_ID, set())
        asked = {("gateway", "HTTP POST"), ("gateway", "ask rpc.booking.book_seat.v1"), ("booking", "rpc.booking.book_seat.v1")}
        told = {("notify", "notify-bookings"), ("notify", "mail booking_confirmed")}
        statements = {service for service, name in spans if name.split(" ")[0].lower() in {"insert", "with", "select", "update", "begin;"}}
        assert asked | told <= spans, spans
        assert {"booking", "notify"} <= statements, spans
        return True

    await eventually(whole, 30)
