"""Dashboards of what agents get: bookings, mail."""

from __future__ import annotations

from deploy.observability.panels import LEADING, RATE, Board, Panel, quantiles

SEAT = '{service="booking", operation="book_seat"}'

BOOKINGS = Board(
    "labo-bookings",
    "Lab-O · bookings",
    "What agents ask for and get: seats, places in the queue, refusals; and how fast.",
    {
        "Demand": (
            Panel(
                "Seats asked for", "`ok` is a seat or a place in the queue; the other codes are rules that said no.", "reqps",
                {f"sum by (code) (rate(labo_requests_total{SEAT}[{RATE}]))": "{{code}}"},
            ),
            Panel(
                "Facts", "What became of it, as notify heard it: confirmed, queued, promoted, cancelled.", "ops",
                {
                    f'sum by (type) (rate(labo_consumed_total{{consumer="notify-bookings", result="applied"}}[{RATE}]))': "{{type}}",
                },
            ),
            Panel(
                "Cancellations", "Answers to `cancel_booking`.", "reqps",
                {f'sum by (code) (rate(labo_requests_total{{service="booking", operation="cancel_booking"}}[{RATE}]))': "{{code}}"},
            ),
            Panel(
                "Facts of a day", "Facts of the last 24 hours.", "short",
                {'sum by (type) (increase(labo_consumed_total{consumer="notify-bookings", result="applied"}[24h]))': "{{type}}"}, "stat",
            ),
        ),
        "Truth": (
            Panel(
                "What must never be", "Found by the standing audit and still so: counters, queue, holds. Always 0, unless there is a bug.",
                "short", {'max(labo_audit_findings{job="booking"})': "findings"}, "stat", alarm=1,
            ),
        ),
        "Speed": (
            Panel("Time of an answer", "`book_seat` inside booking, commit included.", "s", quantiles("labo_request_seconds", SEAT)),
            Panel("As the gateway sees it", "`book_seat` through the bus and back.", "s", quantiles("labo_asked_seconds", SEAT)),
            Panel(
                "Shared commits", "Orders that shared one transaction; it grows with the load.", "short",
                {
                    f'histogram_quantile({q}, sum by (le) (rate(labo_group_size_bucket{{operation="book_seat"}}[{RATE}])))':
                        f"p{round(q * 100)}" for q in (0.5, 0.95)
                },
            ),
            Panel("In work", "Orders taken and not yet answered.", "short", {f"sum(labo_requests_in_flight{SEAT})": "orders"}),
        ),
        "What follows": (
            Panel(
                "Facts not yet published", "Of booking's outbox.", "short",
                {f'max(labo_outbox_unpublished{{job="booking"}} {LEADING})': "events"},
            ),
            Panel(
                "Facts not yet heard", "By those who follow booking's stream.", "short",
                {
                    'max by (consumer_name) (jetstream_consumer_num_pending{stream_name="EVT_BOOKING", is_consumer_leader="true"})':
                        "{{consumer_name}}"
                },
            ),
            Panel(
                "Sessions followed", "Deliveries of dates, moves and cancellations from catalog to booking, by result.", "ops",
                {f'sum by (result) (rate(labo_consumed_total{{consumer="booking-sessions"}}[{RATE}]))': "{{result}}"},
            ),
        ),
    },
)  # fmt: skip

MAIL = Board(
    "labo-mail",
    "Lab-O · mail",
    "From a fact to a mail in a mailbox: what waits, what left, what a human must look at.",
    {
        "State": (
            Panel(
                "To be looked at", "`uncertain`: the server may have it or not. `failed`: given up. `bounced`: no such mailbox.", "short",
                {'max by (state) (labo_mails{state=~"uncertain|failed|bounced"})': "{{state}}"}, "stat", 1,
            ),
            Panel(
                "Waiting", "`new` waits for its moment, `deferred` for the mail server.", "short",
                {'max by (state) (labo_mails{state=~"new|sending|deferred"})': "{{state}}"},
            ),
            Panel(
                "Facts not yet heard", "Events that wait for notify.", "short",
                {
                    'max by (consumer_name) (jetstream_consumer_num_pending{consumer_name=~"notify-.+", is_consumer_leader="true"})':
                        "{{consumer_name}}"
                },
            ),
        ),
        "Delivery": (
            Panel(
                "Settled", "Mails whose delivery ended, by how.", "ops",
                {f"sum by (state) (rate(labo_mails_settled_total[{RATE}]))": "{{state}}"},
            ),
            Panel(
                "Settled by kind", "Mails that left, by what they say.", "ops",
                {f'sum by (kind) (rate(labo_mails_settled_total{{state="sent"}}[{RATE}]))': "{{kind}}"},
            ),
            Panel(
                "From the fact to the mail", "The wait for second thoughts included: a minute for a confirmation by default.", "s",
                quantiles("labo_mail_seconds", ""),
            ),
            Panel(
                "Mails of a day", "Ended in the last 24 hours.", "short",
                {"sum by (state) (increase(labo_mails_settled_total[24h]))": "{{state}}"}, "stat",
            ),
        ),
        "Webhooks": (
            Panel(
                "Receivers", "`failing`: the last attempt did not go through. `gone`: it answered 410.", "short",
                {"max by (state) (labo_webhooks)": "{{state}}"},
            ),
            Panel(
                "Attempts", "Deliveries to other systems, by what came of them.", "ops",
                {f"sum by (outcome) (rate(labo_webhook_attempts_total[{RATE}]))": "{{outcome}}"},
            ),
            Panel("Time of an attempt", "From the look-up of the name to the answer.", "s", quantiles("labo_webhook_seconds", "")),
            Panel(
                "Tchap", "Attempts to tell the room of the programme, by what came of them; empty without a bot.", "ops",
                {f"sum by (outcome) (rate(labo_tchap_attempts_total[{RATE}]))": "{{outcome}}"},
            ),
        ),
        "Whom it asks": (
            Panel(
                "Addresses asked for", "Answers of the directory, asked for each mail as it leaves.", "reqps",
                {
                    f'sum by (code) (rate(labo_asked_total{{job="notify", service="gateway", operation="get_contact"}}[{RATE}]))':
                        "{{code}}"
                },
            ),
            Panel(
                "Events heard", "Deliveries to notify, by durable and result.", "ops",
                {f'sum by (consumer, result) (rate(labo_consumed_total{{consumer=~"notify-.+"}}[{RATE}]))': "{{consumer}} {{result}}"},
            ),
        ),
    },
)  # fmt: skip
