"""Dashboards of those who run it: services, bus."""

from __future__ import annotations

from deploy.observability.panels import LEADING, RATE, Board, Panel, quantiles

SERVICES = 'job=~"$job"'

OVERVIEW = Board(
    "labo-overview",
    "Lab-O · services",
    "First screen of an operator: who is there, who is asked, who answers late or with an error.",
    {
        "State": (
            Panel(
                "Ready replicas", "Processes that say they may get traffic. 0 is an outage of that service.", "short",
                {f"sum by (job) (labo_ready{{{SERVICES}}})": "{{job}}"}, "stat",
            ),
            Panel(
                "Release", "Processes by release; two releases at once only during a deployment.", "short",
                {f"count by (job, version) (labo_build_info{{{SERVICES}}})": "{{job}} {{version}}"}, "stat",
            ),
            Panel(
                "Open dead letters", "Events that a consumer gave up on and a human must see.", "short",
                {"sum(max by (job, consumer) (labo_dead_letters)) or vector(0)": "open"}, "stat", 1,
            ),
            Panel(
                "Oldest unpublished event", "How far the streams are behind the databases.", "s",
                {"max(labo_outbox_oldest_seconds)": "oldest"}, "stat", 60,
            ),
        ),
        "HTTP at the gateway": (
            Panel(
                "Exchanges", "HTTP exchanges answered, by status.", "reqps",
                {f"sum by (status) (rate(labo_http_requests_total[{RATE}]))": "{{status}}"},
            ),
            Panel("Duration", "From arrival of an HTTP request to the end of its answer.", "s", quantiles("labo_http_seconds", "")),
            Panel(
                "Errors of ours", "Share of the exchanges answered with 5xx.", "percentunit",
                {
                    f'(sum(rate(labo_http_requests_total{{status=~"5.."}}[{RATE}])) or vector(0))'
                    f" / sum(rate(labo_http_requests_total[{RATE}]))": "5xx"
                },
                alarm=0.02,
            ),
        ),
        "Requests on the bus": (
            Panel(
                "Answered", "Requests that services answered, refusals included.", "reqps",
                {f"sum by (service, operation) (rate(labo_requests_total{{{SERVICES}}}[{RATE}]))": "{{service}} {{operation}}"},
            ),
            Panel(
                "Refused", "Answers that are not `ok`, by code: rules that said no, and `internal_error`, which is a bug.", "reqps",
                {f'sum by (service, code) (rate(labo_requests_total{{code!="ok", {SERVICES}}}[{RATE}]))': "{{service}} {{code}}"},
            ),
            Panel(
                "Duration of an answer (p95)", "From arrival of a request in the service to its answer.", "s",
                {
                    f"histogram_quantile(0.95, sum by (le, service) (rate(labo_request_seconds_bucket{{{SERVICES}}}[{RATE}])))":
                        "{{service}}"
                },
            ),
            Panel(
                "As askers see it (p95)", "The same through the bus; far above the panel before it, the bus or the asker is busy.", "s",
                {"histogram_quantile(0.95, sum by (le, service) (rate(labo_asked_seconds_bucket[" + RATE + "])))": "{{service}}"},
            ),
            Panel(
                "In work", "Requests taken and not yet answered.", "short",
                {f"sum by (service) (labo_requests_in_flight{{{SERVICES}}})": "{{service}}"},
            ),
        ),
        "Loops": (
            Panel(
                "Timers", "Things to do later, by state. `overdue`: due for more than a minute.", "short",
                {f"max by (job, state) (labo_timers{{{SERVICES}}})": "{{job}} {{state}}"},
            ),
            Panel(
                "Timers run", "Runs by result.", "ops",
                {f"sum by (job, kind, result) (rate(labo_timers_fired_total{{{SERVICES}}}[{RATE}]))": "{{job}} {{kind}} {{result}}"},
            ),
            Panel(
                "Silence of loops", "Seconds since each loop's last beat; timers and audit beat every minute.", "s",
                {f'time() - max by (job, name) (labo_heartbeat_timestamp_seconds{{name=~"timers|audit", {SERVICES}}})': "{{job}} {{name}}"},
                alarm=180,
            ),
        ),
        "Processes": (
            Panel(
                "Memory", "Resident memory of each process.", "bytes",
                {f"process_resident_memory_bytes{{{SERVICES}}}": "{{job}} {{instance}}"},
            ),
            Panel(
                "Processor", "Cores used by each process; near 1, a Python process can do no more.", "short",
                {f"rate(process_cpu_seconds_total{{{SERVICES}}}[{RATE}])": "{{job}} {{instance}}"}, alarm=0.9,
            ),
            Panel(
                "Open files", "File descriptors and sockets of each process.", "short",
                {f"process_open_fds{{{SERVICES}}}": "{{job}} {{instance}}"},
            ),
        ),
    },
    by_service=True,
)  # fmt: skip

BUS = Board(
    "labo-bus",
    "Lab-O · bus",
    "From the outbox of each service through the streams to the consumers: what waits where, and for how long.",
    {
        "Outbox": (
            Panel(
                "Not yet published", "Events committed and not yet acknowledged by their stream.", "short",
                {f"max by (job) (labo_outbox_unpublished {LEADING})": "{{job}}"},
            ),
            Panel(
                "Age of the oldest", "0 when nothing waits. It grows while the broker is away or a stream is full.", "s",
                {f"max by (job) (labo_outbox_oldest_seconds {LEADING})": "{{job}}"}, alarm=60,
            ),
            Panel(
                "Published", "Events acknowledged by their stream.", "ops",
                {f"sum by (job) (rate(labo_outbox_published_total[{RATE}]))": "{{job}}"},
            ),
            Panel(
                "Leaders", "Exactly one process per service publishes.", "short", {"sum by (job) (labo_relay_leader)": "{{job}}"}, "stat",
            ),
            Panel(
                "Parked events", "Refused by the broker for good; their aggregate waits for a human.", "short",
                {f"max by (job) (labo_outbox_parked {LEADING})": "{{job}}"}, "stat", 1,
            ),
            Panel(
                "Refills", "Streams found wiped or short, and filled again from the outbox, since the processes started.", "short",
                {"sum by (job) (labo_stream_refills_total)": "{{job}}"}, "stat", 1,
            ),
        ),
        "Streams": (
            Panel(
                "Filling", "Bytes held against the limit; a full stream refuses and the outbox waits.", "percentunit",
                {"max by (stream_name) (jetstream_stream_total_bytes / labo_nats_stream_max_bytes)": "{{stream_name}}"}, alarm=0.7,
            ),
            Panel(
                "Messages", "Held by each stream.", "short",
                {"max by (stream_name) (jetstream_stream_total_messages)": "{{stream_name}}"},
            ),
            Panel(
                "Arriving", "Messages stored.", "ops",
                {f"max by (stream_name) (rate(jetstream_stream_last_seq[{RATE}]))": "{{stream_name}}"},
            ),
        ),
        "Durable consumers": (
            Panel(
                "Waiting", "Messages not yet delivered to the durable.", "short",
                {'max by (consumer_name) (jetstream_consumer_num_pending{is_consumer_leader="true"})': "{{consumer_name}}"},
                alarm=1000,
            ),
            Panel(
                "Delivered, not settled", "Near the durable's limit, the service is too slow or stuck.", "short",
                {'max by (consumer_name) (jetstream_consumer_num_ack_pending{is_consumer_leader="true"})': "{{consumer_name}}"},
            ),
            Panel(
                "Redelivered", "Messages delivered more than once and not settled yet.", "short",
                {'max by (consumer_name) (jetstream_consumer_num_redelivered{is_consumer_leader="true"})': "{{consumer_name}}"},
            ),
            Panel(
                "Settled", "Deliveries by result. `duplicate` and `stale` are normal weather, `parked` is not.", "ops",
                {f"sum by (consumer, result) (rate(labo_consumed_total[{RATE}]))": "{{consumer}} {{result}}"},
            ),
            Panel(
                "Silence of consumers", "Seconds since the last fetch that worked, messages or none.", "s",
                {"time() - max by (job, consumer) (labo_consumer_loop_timestamp_seconds)": "{{consumer}}"}, alarm=60,
            ),
            Panel(
                "Open dead letters", "By durable.", "short", {"max by (job, consumer) (labo_dead_letters)": "{{consumer}}"}, "stat", 1,
            ),
        ),
        "Server": (
            Panel("Connections", "Clients of nats-server.", "short", {"gnatsd_varz_connections": "{{server_id}}"}),
            Panel(
                "Messages", "In and out, requests and acknowledgements included.", "ops",
                {
                    f"rate(gnatsd_varz_in_msgs[{RATE}])": "in {{server_id}}",
                    f"rate(gnatsd_varz_out_msgs[{RATE}])": "out {{server_id}}",
                },
            ),
            Panel(
                "Traffic", "Bytes in and out.", "Bps",
                {
                    f"rate(gnatsd_varz_in_bytes[{RATE}])": "in {{server_id}}",
                    f"rate(gnatsd_varz_out_bytes[{RATE}])": "out {{server_id}}",
                },
            ),
            Panel("Slow consumers", "Clients cut off for reading too slowly.", "short", {"gnatsd_varz_slow_consumers": "{{server_id}}"}),
            Panel(
                "Storage", "Bytes of all streams against what JetStream may take.", "percentunit",
                {"jetstream_server_total_message_bytes / jetstream_server_max_storage": "{{server_name}}"}, alarm=0.7,
            ),
            Panel("Memory", "Of nats-server.", "bytes", {"gnatsd_varz_mem": "{{server_id}}"}),
        ),
    },
)  # fmt: skip
