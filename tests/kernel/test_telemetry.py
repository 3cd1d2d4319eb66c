"""What a process shows: JSON lines with ids only, traces that continue, metrics that say what they are. Each in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from prometheus_client import REGISTRY

from shared import telemetry
from shared.settings import Settings

AN_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+\.\w+")


def lines_of(code: str, *, returncode: int = 0, **environment: str) -> list[dict[str, Any]]:
    """What a process that runs `code` writes: only JSON objects, one a line, nothing on stderr."""
    hidden = ["-c", "import sys; exec(sys.argv[1])", textwrap.dedent(code)]  # from 3.13 on, tracebacks show the lines of a bare -c
    ran = subprocess.run([sys.executable, *hidden], env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (returncode, ""), ran.stdout + ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


CONFIGURED = """
import asyncio, logging, os
from shared import telemetry
from shared.telemetry import log
telemetry.configure_logging("booking", "INFO")
telemetry.configure_tracing("booking", os.environ.get("COLLECTOR"))
"""


def code(body: str) -> str:
    return CONFIGURED + textwrap.dedent(body)


def test_our_lines_and_those_of_every_library_are_json_objects_of_one_form() -> None:
    lines = lines_of(
        code("""
            import uvicorn, warnings
            uvicorn.Config(app=None, log_config=None)
            log.info("seat_booked", booking_id="b1")
            for name in ("uvicorn.error", "faststream.access.nats", "nats.aio.client", "sqlalchemy.engine", "asyncio"):
                logging.getLogger(name).warning("from %s", name)
            logging.getLogger("uvicorn.error").debug("too fine")
            warnings.warn("an old way")
        """)
    )

    assert [line["event"] for line in lines[:2]] == ["seat_booked", "from uvicorn.error"]
    assert len(lines) == 7
    for line in lines:
        assert list(line)[:5] == ["ts", "level", "service", "event", "logger"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line["ts"])
        assert line["service"] == "booking"
    assert lines[0]["booking_id"] == "b1"


def test_lines_inside_a_span_carry_its_ids_and_those_outside_do_not() -> None:
    outside, inside, parent = lines_of(
        code("""
            log.info("outside")
            with telemetry.tracer.start_as_current_span("book"), telemetry.bound(event_id="e1"):
                log.info("inside")
                parent = telemetry.traceparent()
            log.info("after", parent=parent)
        """)
    )

    assert "trace_id" not in outside
    assert inside["event_id"] == "e1"
    assert parent["parent"].split("-")[1:3] == [inside["trace_id"], inside["span_id"]]


def test_an_exception_is_one_field_with_its_traceback() -> None:
    ours, theirs, last = lines_of(
        code("""
            try:
                1 / 0
            except ZeroDivisionError as error:
                log.exception("ours")
                logging.getLogger("nats").error("theirs", exc_info=error)
            raise LookupError("nobody catches this")
        """),
        returncode=1,
    )

    for line in (ours, theirs):
        assert line["level"] == "error"
        assert line["exception"].startswith("Traceback")
        assert line["exception"].endswith("ZeroDivisionError: division by zero")
    assert (last["event"], last["level"]) == ("uncaught", "critical")
    assert "LookupError: nobody catches this" in last["exception"]


def test_P4_errors_of_database_contracts_and_messages_are_logged_without_the_people_they_quote(
    postgres_settings: Callable[..., Settings],
) -> None:
    settings = postgres_settings("gateway")
    lines = lines_of(
        code("""
            from uuid import uuid4
            from sqlalchemy import text
            from shared.contracts.gateway import RegisterAgent
            from shared.contracts.messages import Envelope, read_event
            from shared.database import Database
            from shared.settings import Settings

            async def flows():
                database = Database.of(Settings())
                async with database.begin() as tx:
                    await tx.execute(text("create table people (name text unique, email text check (email <> :nobody))".replace(
                        ":nobody", "'nobody'")))
                    await tx.execute(text("insert into people values ('Camille Durand', 'camille.durand@exemple.gouv.fr')"))
                    for statement, values in (
                        ("insert into people values (:name, :email)", {"name": "Camille Durand", "email": "c.durand@exemple.gouv.fr"}),
                        ("insert into people values (:name, :email)", {"name": "Camille Durant", "email": "nobody"}),
                        ("select cast(cast(:name as text) as int)", {"name": "Camille Durand"}),
                        ("select cast(:name as int)", {"name": "Camille Durand"}),
                    ):
                        try:
                            async with tx.begin_nested():
                                await tx.execute(text(statement), values)
                        except Exception as error:
                            log.exception("database", error=str(error))
                await database.dispose()
                for read in (
                    lambda: RegisterAgent(agent_id="camille.durand@exemple.gouv.fr", sub="s", given_name="Camille Durand", usual_name=1,
                                          email="Camille Durand", org_unit="x"),
                    lambda: read_event({"ce-specversion": "1.0"}, b'{"email": "camille.durand@exemple.gouv.fr"}'),
                    lambda: read_event({"content-type": "application/cloudevents+json"}, b'camille.durand@exemple.gouv.fr'),
                ):
                    try:
                        read()
                    except Exception as error:
                        log.exception("contract", error=str(error))
                log.warning("refused by camille.durand@exemple.gouv.fr, as SMTP servers say it")

            asyncio.run(flows())
        """),
        LABO_SERVICE="gateway",
        LABO_POSTGRES_HOST=settings.postgres_host,
        LABO_POSTGRES_PORT=str(settings.postgres_port),
        LABO_POSTGRES_DATABASE=settings.postgres_database,
        LABO_POSTGRES_PASSWORD=settings.postgres_password.get_secret_value(),
    )

    assert [line["event"] for line in lines[:7]] == ["database"] * 4 + ["contract"] * 3
    assert "duplicate key value violates unique constraint" in lines[0]["exception"]
    assert "violates check constraint" in lines[1]["exception"]
    whole = json.dumps(lines, ensure_ascii=False)
    assert not AN_ADDRESS.search(whole)
    assert "Durand" not in whole
    assert "Camille" not in whole


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """The address of an OTLP/HTTP collector, and what it received."""
    received: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200 if self.path == "/v1/traces" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()
    server.server_close()


def test_spans_and_the_statements_inside_them_reach_the_collector_as_one_trace_without_values(
    collector: tuple[str, list[bytes]], postgres_settings: Callable[..., Settings]
) -> None:
    endpoint, received = collector
    settings = postgres_settings("booking")
    lines_of(
        code("""
            from sqlalchemy import text
            from shared.database import Database
            from shared.settings import Settings

            incoming = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

            async def work():
                database = Database.of(Settings())
                with telemetry.tracer.start_as_current_span("book", context=telemetry.context_from(incoming)):
                    try:
                        async with database.begin() as tx:
                            await tx.execute(text("select cast(:name as text)"), {"name": "Camille Durand"})
                            await tx.execute(text("select cast(cast(:name as text) as int)"), {"name": "Camille Durand"})
                    except Exception as error:
                        log.info("refused", error=type(error).__name__)
                        raise LookupError("Camille Durand") from None

            try:
                asyncio.run(work())
            except LookupError:
                telemetry.flush_telemetry()
        """),
        LABO_SERVICE="booking",
        LABO_POSTGRES_HOST=settings.postgres_host,
        LABO_POSTGRES_PORT=str(settings.postgres_port),
        LABO_POSTGRES_DATABASE=settings.postgres_database,
        LABO_POSTGRES_PASSWORD=settings.postgres_password.get_secret_value(),
        COLLECTOR=endpoint,
    )

    resources = [resource for body in received for resource in ExportTraceServiceRequest.FromString(body).resource_spans]
    spans = [span for resource in resources for scope in resource.scope_spans for span in scope.spans]
    book = next(span for span in spans if span.name == "book")
    statements = [span for span in spans if span.parent_span_id == book.span_id and span.name == "select"]
    assert {span.trace_id.hex() for span in (book, *statements)} == {"0af7651916cd43dd8448eb211c80319c"}
    assert statements[-1].status.code == Status.STATUS_CODE_ERROR
    assert (book.status.code, book.status.message) == (Status.STATUS_CODE_ERROR, "LookupError")
    assert {attribute.value.string_value for resource in resources for attribute in resource.resource.attributes} >= {"booking", "labo"}
    assert b"Durand" not in b"".join(received)


def test_without_a_collector_a_trace_still_has_ids_and_continues_the_one_it_is_given() -> None:
    told, fresh, fresh_again = (
        line["parent"]
        for line in lines_of(
            code("""
                incoming = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
                for parent in (incoming, None, "not a traceparent"):
                    with telemetry.tracer.start_as_current_span("x", context=telemetry.context_from(parent)):
                        log.info("x", parent=telemetry.traceparent())
            """)
        )
    )

    assert told.split("-")[1] == "0af7651916cd43dd8448eb211c80319c"
    assert told.split("-")[2] != "b7ad6b7169203331"
    assert fresh.split("-")[1] != fresh_again.split("-")[1]


def test_outside_a_span_there_is_nothing_to_carry() -> None:
    assert telemetry.traceparent() is None


def test_every_metric_is_declared_once_says_what_it_is_and_names_no_person() -> None:
    ours = [metric for metric in REGISTRY.collect() if metric.name.startswith("labo_")]

    assert len(ours) >= 20
    for metric in ours:
        assert len(metric.documentation) > 15
        assert not {label for sample in metric.samples for label in sample.labels} & {"email", "name_of_agent", "agent_id", "given_name"}
