"""Webhooks as they run, on real servers: what is sent, what operators do, and the receiver of the documentation."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import uuid4

from deploy.contracts.schemas import ROOT
from services.notify.webhooks import store
from services.notify.webhooks.domain import KEPT_FOR
from shared.bus import Caller
from shared.contracts.webhooks import (
    AddWebhook,
    DisableWebhook,
    EnableWebhook,
    ListWebhookDeliveries,
    ListWebhooks,
    PingWebhook,
    ReplayWebhook,
    RotateWebhookSecret,
    WebhookDelivery,
    WebhookSecret,
)
from shared.outbox import uuid7
from tests.conftest import eventually
from tests.notify.given import a_session, changed, scheduled, session_cancelled
from tests.notify.receiver import Receiver
from tests.notify.webhook_desk import AVAILABILITY, CANCELLED, SCHEDULED, Desk, counters_of

# --- what is sent --------------------------------------------------------------------------------------------------------------------


async def test_P4_a_public_event_arrives_signed_as_cloudevents_without_who_did_it(desk: Desk) -> None:
    added = await desk.add()
    desk.send()
    event = scheduled(a_session())
    await desk.happens(event, session_cancelled(event.session))

    await desk.settled(added.webhook_id, "delivered")
    (post,) = desk.receiver.posts
    document = post.verified(added.secret)
    assert post.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert document["id"] == post.id
    assert document["type"] == SCHEDULED
    assert (document["subject"], document["sequence"]) == (str(event.session_id), "1")
    assert document["data"] == json.loads(event.model_dump_json())
    assert set(document) == {
        "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "sequence", "data",
    }  # fmt: skip


async def test_P6_an_event_that_comes_twice_is_delivered_once_to_each_who_wants_it(desk: Desk) -> None:
    wants = await desk.add(None, SCHEDULED, AVAILABILITY)
    wants_too = await desk.add()
    other = await desk.add(None, CANCELLED)
    event_id, event = uuid7(), scheduled(a_session())
    await desk.happens(event)
    await desk.office.consumed()
    desk.send()
    for _ in range(2):
        await desk.office.publish(event, event_id=event_id)
    await desk.knows(event.session)
    await desk.office.publish(counters_of(event.session_id))

    await desk.settled(wants.webhook_id, *["delivered"] * 3)
    await desk.settled(wants_too.webhook_id, *["delivered"] * 2)
    assert await desk.states(other.webhook_id) == []


async def test_P4_a_session_made_for_one_group_is_told_to_nobody_nor_are_its_counters(desk: Desk) -> None:
    wants = await desk.add(None, SCHEDULED, AVAILABILITY)
    private, public = a_session(private=True), a_session()
    await desk.knows(private)
    await desk.happens(scheduled(private))
    await desk.office.publish(counters_of(private.session_id), counters_of(uuid4()))
    await desk.office.consumed()
    desk.send()
    await desk.office.publish(scheduled(public))

    (delivery,) = await desk.settled(wants.webhook_id, "delivered")
    assert desk.receiver.posts[0].verified(wants.secret)["subject"] == str(public.session_id)
    assert delivery.event_type == SCHEDULED


async def test_P7_two_processes_share_the_deliveries_and_make_each_once(desk: Desk) -> None:
    added = await desk.add()
    desk.send(instance="one")
    desk.send(instance="two")
    await desk.happens(*(scheduled(a_session()) for _ in range(30)))

    await desk.settled(added.webhook_id, *["delivered"] * 30)
    assert len(desk.receiver.ids) == len(set(desk.receiver.ids)) == 30


async def test_the_receiver_of_the_documentation_takes_each_event_once_and_refuses_forgeries(desk: Desk) -> None:
    receiver = Receiver(port=await a_free_port())
    added = await desk.add(receiver)
    async with the_sample(added.secret, receiver.port) as sample:
        desk.send()
        session = a_session()
        await desk.happens(scheduled(session), scheduled(changed(session)))
        log = await desk.settled(added.webhook_id, "delivered", "delivered")
        await desk.ask(ReplayWebhook(webhook_id=added.webhook_id, delivery_id=log[0].delivery_id))
        await desk.settled(added.webhook_id, "delivered", "delivered")
        await desk.ask(RotateWebhookSecret(webhook_id=added.webhook_id))
        await desk.sql("update webhook set previous_secret = null, previous_until = null")
        await desk.ask(PingWebhook(webhook_id=added.webhook_id))

        async def refused() -> bool:
            return (await desk.newest(added.webhook_id)).status == 401

        await eventually(refused)
        told = [json.loads(line) for line in await printed(sample)]
    assert told[-1] == {"type": SCHEDULED, "subject": str(session.session_id), "sequence": "2"}
    assert len(told) == len({line["sequence"] for line in told}) <= 2  # the first one may come second, and is stale then


async def a_free_port() -> int:
    async with Receiver().listening() as receiver:
        return receiver.port


@asynccontextmanager
async def the_sample(secret: str, port: int) -> AsyncGenerator[asyncio.subprocess.Process]:
    """The receiver of the page, as it stands there."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/integrate/webhooks.md").read_text(), re.DOTALL)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, env=os.environ | {"LABO_WEBHOOK_SECRET": secret, "PORT": str(port)}, stdout=asyncio.subprocess.PIPE
    )  # fmt: skip
    assert process.stdout
    try:
        assert await asyncio.wait_for(process.stdout.readline(), 20) == f"listening on port {port}\n".encode()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def printed(process: asyncio.subprocess.Process) -> list[str]:
    """All that it printed until now; it is over after this."""
    assert process.stdout
    process.kill()
    return (await process.stdout.read()).decode().splitlines()


# --- what operators do ---------------------------------------------------------------------------------------------------------------


async def test_a_rotated_secret_is_good_for_a_day_beside_the_new_one(desk: Desk) -> None:
    old = await desk.add()
    new = await desk.ask(RotateWebhookSecret(webhook_id=old.webhook_id))
    assert isinstance(new, WebhookSecret)
    assert new.previous_valid_until
    desk.send()
    await desk.happens()
    await desk.settled(old.webhook_id, "delivered")
    (post,) = desk.receiver.posts
    assert post.verified(old.secret) == post.verified(new.secret)

    await desk.sql("update webhook set previous_until = previous_until - interval '1 day'")
    await desk.office.publish(scheduled(a_session()))
    await desk.settled(old.webhook_id, "delivered", "delivered")
    assert len(desk.receiver.posts[1].headers["webhook-signature"].split()) == 1
    assert desk.receiver.posts[1].verified(new.secret)


async def test_a_ping_is_a_delivery_like_another(desk: Desk) -> None:
    added = await desk.add()
    desk.send()
    pinged = await desk.ask(PingWebhook(webhook_id=added.webhook_id))
    assert isinstance(pinged, WebhookDelivery)

    await desk.settled(added.webhook_id, "delivered")
    assert desk.receiver.posts[0].verified(added.secret)["type"] == "fr.labo.notify.webhook_ping.v1"


async def test_while_it_is_disabled_nothing_leaves_and_what_waited_leaves_after(desk: Desk) -> None:
    desk.receiver.answering.clear()
    added = await desk.add()
    await desk.happens()
    await desk.office.consumed()
    await desk.ask(DisableWebhook(webhook_id=added.webhook_id, reason="moved elsewhere"))
    desk.receiver.answering.set()
    desk.send()
    other = await desk.add()
    await desk.office.publish(scheduled(a_session()))

    await desk.settled(other.webhook_id, "delivered")
    assert await desk.states(added.webhook_id) == ["waiting"]
    await desk.ask(EnableWebhook(webhook_id=added.webhook_id))
    await desk.settled(added.webhook_id, "delivered")


async def test_only_operators_decide_and_asking_twice_adds_once(desk: Desk) -> None:
    agent = Caller(str(uuid4()), frozenset({"agent", "lab_team"}))
    added = await desk.add()
    webhook_id = added.webhook_id
    again = AddWebhook(webhook_id=webhook_id, url=desk.receiver.url, event_types=(SCHEDULED,))
    orders = (
        again, ListWebhooks(), DisableWebhook(webhook_id=webhook_id, reason="no"), EnableWebhook(webhook_id=webhook_id),
        RotateWebhookSecret(webhook_id=webhook_id), ListWebhookDeliveries(webhook_id=webhook_id), ReplayWebhook(webhook_id=webhook_id),
        PingWebhook(webhook_id=webhook_id),
    )  # fmt: skip
    assert {await desk.code(order, agent) for order in orders} == {"not_allowed"}
    assert await desk.code(again) == "webhook_exists"
    assert await desk.code(PingWebhook(webhook_id=uuid4())) == "webhook_unknown"


async def test_P1_the_log_is_kept_for_30_days(desk: Desk) -> None:
    added = await desk.add()
    await desk.happens(scheduled(a_session()), scheduled(a_session()))
    await desk.office.consumed()
    await desk.sql(
        "update webhook_delivery set created_at = created_at - interval '721 hours'"
        " where delivery_id = (select min(delivery_id::text)::uuid from webhook_delivery)"
    )
    async with desk.office.database.begin() as tx:
        assert await store.forget(tx, KEPT_FOR) == 1
    assert timedelta(days=30) == KEPT_FOR
    assert len(await desk.log(added.webhook_id)) == 1
