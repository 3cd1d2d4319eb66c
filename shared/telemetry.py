"""What can be seen of a process: JSON logs, traces that cross the bus, Prometheus metrics.

Ids only, never names, addresses or texts (P4): streams and logs outlive our right to hold them.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Generator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import Token
from types import TracebackType
from typing import Any

import structlog
from opentelemetry import propagate, trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Counter, Gauge, Histogram

# --- logs ----------------------------------------------------------------------------------------------------------------------------

# Until `configure_logging` (tests, commands): short lines. The library's default prints the local variables of every frame.
if not structlog.is_configured():
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["level", "event"]),
        ]
    )

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("labo")
bound = structlog.contextvars.bound_contextvars
"""`with bound(event_id=…):` puts ids on every line logged inside the block."""

# Error texts quote what was refused: rows (Postgres), parameters (SQLAlchemy, asyncpg), inputs (Pydantic), addresses (SMTP).
_QUOTED = re.compile(
    r"(DETAIL:  |\[parameters: |input_value=|invalid input (?:syntax for type [a-z ]+|for query argument \$\d+): ).*?(?=, input_type=|$)",
    re.MULTILINE,
)
_ADDRESS = re.compile(r"[^\s@<>\"'=(,;:/]+@[^\s@<>\"'),;/]+\.[a-z]{2,}", re.IGNORECASE)

_ALREADY_OURS = ("uvicorn", "uvicorn.error", "uvicorn.access", "faststream", "nats", "sqlalchemy", "alembic", "asyncio")
_CHATTY = ("uvicorn.access", "httpx", "httpx2", "httpcore", "httpcore2")  # their lines hold whole URLs, sign-in codes included


def hide_private(text: str) -> str:
    """A text of an error without the data it quotes."""
    return _ADDRESS.sub("…", _QUOTED.sub(r"\1…", text))


def _only_ids(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> Mapping[str, Any]:
    return {name: hide_private(value) if isinstance(value, str) else value for name, value in line.items()}


def _trace_ids(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    here = trace.get_current_span().get_span_context()
    if here.is_valid:
        line["trace_id"], line["span_id"] = trace.format_trace_id(here.trace_id), trace.format_span_id(here.span_id)
    return line


def _in_order(service: str) -> Callable[[Any, str, MutableMapping[str, Any]], Mapping[str, Any]]:
    def order(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> Mapping[str, Any]:
        first = {name: line.pop(name, None) for name in ("ts", "level")}
        return {**first, "service": service, "event": line.pop("event", ""), "logger": line.pop("logger", None), **line}

    return order


def configure_logging(service: str, level: str = "INFO") -> None:
    """One JSON object a line on stdout, for our own lines and for those of every library."""
    common: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _trace_ids,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *common, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    render = structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=common,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _only_ids, _in_order(service), render],
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    for name in _ALREADY_OURS:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    sys.excepthook = _uncaught


def _uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    log.critical("uncaught", exc_info=(kind, error, traceback))


# --- traces --------------------------------------------------------------------------------------------------------------------------

_PROPAGATOR = TraceContextTextMapPropagator()
_IDS = RandomIdGenerator()


class _Carried(AbstractContextManager[trace.Span]):
    """Stands for a span when none is exported: ids are made where a trace enters a process, carried and logged. A real span costs 30 µs."""

    def __init__(self, context: Context | None) -> None:
        self._context = context
        self._token: Token[Context] | None = None

    def __enter__(self) -> trace.Span:
        here = trace.get_current_span(self._context)
        before = here.get_span_context()
        if before.is_valid and self._context is None:
            return here
        trace_id = before.trace_id if before.is_valid else _IDS.generate_trace_id()
        ids = trace.SpanContext(trace_id, _IDS.generate_span_id(), is_remote=False, trace_flags=before.trace_flags)
        here = trace.NonRecordingSpan(ids)
        self._token = attach(trace.set_span_in_context(here, self._context))
        return here

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            detach(self._token)


class IdsOnlyTracer(trace.Tracer):
    """Marks a failed span with the class of the error, never with its text, which may quote personal data."""

    def __init__(self, inner: trace.Tracer) -> None:
        self._inner = inner
        self.exporting = True

    def start_span(self, *args: Any, **options: Any) -> trace.Span:
        return self._inner.start_span(*args, **options | {"record_exception": False, "set_status_on_exception": False})

    def start_as_current_span(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, name: str, context: Context | None = None, **options: Any
    ) -> AbstractContextManager[trace.Span]:
        return self._started(name, context, **options) if self.exporting else _Carried(context)

    @contextmanager
    def _started(self, name: str, context: Context | None, **options: Any) -> Generator[trace.Span]:
        options |= {"record_exception": False, "set_status_on_exception": False}
        with self._inner.start_as_current_span(name, context, **options) as span:
            try:
                yield span
            except Exception as error:
                span.set_status(trace.StatusCode.ERROR, type(error).__name__)
                raise


class _IdsOnlyProvider(trace.TracerProvider):
    def __init__(self, inner: trace.TracerProvider) -> None:
        self._inner = inner

    def get_tracer(self, *args: Any, **options: Any) -> trace.Tracer:
        return IdsOnlyTracer(self._inner.get_tracer(*args, **options))


tracer = IdsOnlyTracer(trace.get_tracer("labo"))


def configure_tracing(service: str, otlp_endpoint: str | None = None) -> None:
    """Make traces, and export them when a collector is named. Without one, ids are still made, carried and logged, at no cost."""
    sampler = ParentBased(ALWAYS_ON if otlp_endpoint else ALWAYS_OFF)
    provider = TracerProvider(resource=Resource.create({"service.name": service, "service.namespace": "labo"}), sampler=sampler)
    if otlp_endpoint:
        exporter = OTLPSpanExporter(endpoint=f"{otlp_endpoint.rstrip('/')}/v1/traces", timeout=5)
        provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    propagate.set_global_textmap(_PROPAGATOR)
    tracer.exporting = otlp_endpoint is not None
    if otlp_endpoint:
        AsyncPGInstrumentor(capture_parameters=False).instrument(tracer_provider=_IdsOnlyProvider(provider))


def traceparent() -> str | None:
    """W3C `traceparent` of the span we are in, to be carried by whatever we send or store."""
    here = trace.get_current_span().get_span_context()
    return f"00-{here.trace_id:032x}-{here.span_id:016x}-{here.trace_flags:02x}" if here.is_valid else None


def context_from(parent: str | None) -> Context:
    """Context to start a span in that continues a `traceparent`; a new trace when there is none or it is unreadable."""
    return _PROPAGATOR.extract({"traceparent": parent} if parent else {})


def flush_telemetry() -> None:
    """Send the last spans; call it at the very end of a process."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.shutdown()


# --- metrics: scraped at /metrics; the scrape's `job` label names the service ----------------------------------------------------------

READY = Gauge("labo_ready", "1 while this process may get traffic, as /readyz says; looked at by each scrape")
BUILD = Gauge("labo_build_info", "Always 1; the label tells which release runs", ["version"])

_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

REQUESTS = Counter("labo_requests", "Requests answered; code is `ok` or the code of the problem", ["service", "operation", "code"])
REQUEST_SECONDS = Histogram("labo_request_seconds", "From arrival of a request to its answer", ["service", "operation"], buckets=_LATENCY)
REQUESTS_IN_FLIGHT = Gauge("labo_requests_in_flight", "Requests taken and not yet answered", ["service", "operation"])
ASKED = Counter("labo_asked", "Requests that this process asked of a service, by what came back", ["service", "operation", "code"])
ASKED_SECONDS = Histogram(
    "labo_asked_seconds", "From asking to the answer, as the asker sees it", ["service", "operation"], buckets=_LATENCY
)
GROUP_SIZE = Histogram(
    "labo_group_size", "Requests that shared one grouped commit", ["operation"], buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)

OUTBOX_UNPUBLISHED = Gauge("labo_outbox_unpublished", "Events committed and not yet acknowledged by their stream")
OUTBOX_OLDEST_SECONDS = Gauge("labo_outbox_oldest_seconds", "Age of the oldest unpublished event; 0 when there is none")
OUTBOX_PARKED = Gauge("labo_outbox_parked", "Events that the broker refused for good; their aggregate waits for a human")
PUBLISHED = Counter("labo_outbox_published", "Events acknowledged by their stream")
RELAY_LEADER = Gauge("labo_relay_leader", "1 while this process publishes for its service")
STREAM_REFILLS = Counter("labo_stream_refills", "Times a stream was found wiped or short and was filled again from the outbox")

CONSUMED = Counter("labo_consumed", "Deliveries by result: applied, duplicate, stale, retried, parked", ["consumer", "type", "result"])
CONSUMER_LOOP = Gauge("labo_consumer_loop_timestamp_seconds", "Unix time of the last successful round of a consumer", ["consumer"])
DEAD_LETTERS = Gauge("labo_dead_letters", "Dead letters that nobody has replayed or discarded", ["consumer"])

TIMERS = Gauge("labo_timers", "Timers by state: waiting, overdue (due for more than a minute), parked", ["state"])
TIMERS_FIRED = Counter("labo_timers_fired", "Runs of timers by result: done, retried, parked", ["kind", "result"])
HEARTBEAT = Gauge("labo_heartbeat_timestamp_seconds", "Unix time of the last beat of a loop that must not fall silent", ["name"])

AUDIT_FINDINGS = Gauge("labo_audit_findings", "Things that must never be, found by the standing audit and still so; 0 without a bug")

MAILS = Gauge("labo_mails", "Mails by state of delivery", ["state"])
CLOCK_OFFSET = Gauge("labo_clock_offset_seconds", "How far domain time is from real time; 0 in production")
