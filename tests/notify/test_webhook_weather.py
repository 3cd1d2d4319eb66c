"""Webhooks in bad weather, and where they may not go: a receiver that fails, hangs, redirects or is gone; names that lead elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

import pytest

from services.notify.webhooks.courier import Courier
from shared.contracts.webhooks import (
    AddWebhook,
    EnableWebhook,
    ReplayWebhook,
)
from tests.conftest import eventually
from tests.notify.given import a_session, scheduled
from tests.notify.receiver import Receiver, answer, certified
from tests.notify.test_dying import a_process
from tests.notify.webhook_desk import SCHEDULED, Desk

# --- what goes wrong -----------------------------------------------------------------------------------------------------------------


async def test_P7_a_receiver_that_fails_is_tried_again_under_the_same_id_until_it_works(desk: Desk) -> None:
    desk.receiver.answers += [answer(500, "a very long page " * 100), answer(503, "write to jean@exemple.invalid"), answer(429)]
    added = await desk.add()
    desk.send()
    await desk.happens()

    (delivery,) = await desk.settled(added.webhook_id, "delivered")
    assert (delivery.attempts, delivery.status, delivery.last_error) == (4, 204, None)
    assert len(desk.receiver.posts) == 4
    assert set(desk.receiver.ids) == {str(delivery.event_id)}
    assert (await desk.webhook(added.webhook_id)).failing_since is None


async def test_P7_of_an_answer_only_the_first_words_are_kept_and_no_address(desk: Desk) -> None:
    desk.receiver.answers += [answer(500, "write to jean@exemple.invalid, " + "please " * 100)]
    added = await desk.add()
    desk.send(webhook_retry_base=600)
    await desk.happens()

    async def noted() -> bool:
        return (await desk.newest(added.webhook_id)).attempts == 1

    await eventually(noted)
    (delivery,) = await desk.log(added.webhook_id)
    assert (delivery.state, delivery.status) == ("waiting", 500)
    assert str(delivery.last_error).startswith("500 write to …, please please")
    assert len(str(delivery.last_error)) <= 210
    assert (await desk.webhook(added.webhook_id)).failing_since is not None


async def test_P7_410_disables_until_an_operator_enables_again_and_replays(desk: Desk) -> None:
    desk.receiver.answers.append(answer(410))
    added = await desk.add()
    desk.send()
    await desk.happens()

    await desk.settled(added.webhook_id, "failed")
    webhook = await desk.webhook(added.webhook_id)
    assert (webhook.disabled_reason, webhook.failed) == ("gone", 1)
    await desk.office.publish(scheduled(a_session()))
    await desk.office.consumed()
    assert await desk.states(added.webhook_id) == ["failed"]
    assert await desk.code(ReplayWebhook(webhook_id=added.webhook_id)) == "webhook_disabled"

    await desk.ask(EnableWebhook(webhook_id=added.webhook_id))
    await desk.ask(ReplayWebhook(webhook_id=added.webhook_id))
    await desk.settled(added.webhook_id, "delivered")
    assert len(set(desk.receiver.ids)) == 1


async def test_P7_a_redirect_is_no_success_and_is_not_followed(desk: Desk) -> None:
    async with Receiver().listening() as elsewhere:
        desk.receiver.answers.append(answer(302, Location=elsewhere.url))
        desk.receiver.answers.append(answer(307, Location=elsewhere.url))
        added = await desk.add()
        desk.send()
        await desk.happens()

        (delivery,) = await desk.settled(added.webhook_id, "delivered")
    assert delivery.attempts == 3
    assert elsewhere.posts == []


async def test_P7_a_receiver_that_never_answers_delays_no_other(desk: Desk) -> None:
    async with Receiver().listening() as silent:
        silent.answering.clear()
        held = await desk.add(silent)
        added = await desk.add()
        desk.send()
        await desk.happens(*(scheduled(a_session()) for _ in range(12)))

        await desk.settled(added.webhook_id, *["delivered"] * 12)
        assert await desk.states(held.webhook_id) == ["waiting"] * 12
        assert 1 <= silent.most_open <= 4


async def test_P7_a_slow_one_is_given_up_in_time_and_left_alone_for_a_while(desk: Desk) -> None:
    desk.receiver.answering.clear()
    added = await desk.add()
    desk.send(webhook_timeout=0.2)
    await desk.happens()

    async def late() -> bool:
        return (await desk.newest(added.webhook_id)).attempts >= 2

    await eventually(late)
    assert "no answer within 0.2 s" in str((await desk.newest(added.webhook_id)).last_error)
    desk.receiver.answering.set()
    await desk.settled(added.webhook_id, "delivered")


async def test_P7_a_body_without_end_is_not_read_to_its_end(desk: Desk) -> None:
    endless = b"HTTP/1.1 500 Said\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 5000
    desk.receiver.answers.append(endless)
    added = await desk.add()
    desk.send()
    await desk.happens()

    (delivery,) = await desk.settled(added.webhook_id, "delivered")
    assert delivery.attempts == 2


async def test_P7_after_three_days_it_failed_and_an_operator_replays_it(desk: Desk) -> None:
    desk.receiver.answers += [answer(500), answer(500)]
    added = await desk.add()
    await desk.happens()
    await desk.office.consumed()
    await desk.sql("update webhook_delivery set tried_since = tried_since - interval '73 hours'")
    desk.send()

    (delivery,) = await desk.settled(added.webhook_id, "failed")
    assert (await desk.webhook(added.webhook_id)).failed == 1

    await desk.ask(ReplayWebhook(webhook_id=added.webhook_id))
    await desk.settled(added.webhook_id, "delivered")
    await desk.ask(ReplayWebhook(webhook_id=added.webhook_id, delivery_id=delivery.delivery_id))
    await eventually(lambda: len(desk.receiver.posts) == 4)
    assert set(desk.receiver.ids) == {str(delivery.event_id)}


async def test_P7_killed_between_sending_and_noting_it_is_sent_again_under_the_same_id(desk: Desk) -> None:
    desk.receiver.answering.clear()
    added = await desk.add()
    async with a_process(desk.office.settings) as process:
        await desk.office.publish(scheduled(a_session()))
        await eventually(lambda: desk.receiver.posts, within=20)
        process.kill()
        await process.wait()

    desk.receiver.answering.set()
    async with a_process(desk.office.settings):
        (delivery,) = await desk.settled(added.webhook_id, "delivered")
    assert desk.receiver.ids == [str(delivery.event_id)] * 2


# --- where it may go -----------------------------------------------------------------------------------------------------------------


async def test_P7_a_name_that_turns_private_after_it_was_added_is_not_asked(desk: Desk) -> None:
    """DNS rebinding: public when the operator adds it, the loopback when the delivery leaves."""
    answers = [["93.184.216.34"], ["127.0.0.1"], ["::ffff:127.0.0.1"], ["169.254.169.254"]]

    async def lookup(host: str, port: int) -> Sequence[str]:
        assert host == "rebinding.exemple.invalid"
        return answers.pop(0) if len(answers) > 1 else answers[0]

    courier = Courier(timeout=2, loopback=False, lookup=lookup)
    url = f"https://rebinding.exemple.invalid:{desk.receiver.port}/"
    await courier.check(url)
    added = await desk.add()
    await desk.sql(f"update webhook set url = '{url}'")
    desk.send(courier)
    await desk.happens()

    async def tried() -> bool:
        return (await desk.newest(added.webhook_id)).attempts >= 3

    await eventually(tried)
    (delivery,) = await desk.log(added.webhook_id)
    assert "is not public" in str(delivery.last_error)
    assert desk.receiver.most_open == 0


async def test_P7_it_connects_to_the_very_address_that_was_looked_at_and_trusts_only_the_name(desk: Desk) -> None:
    """The name does not exist outside of the look-up given here: had anybody asked again, no connection would come about."""
    shown, trust = certified("receiver.exemple.invalid")

    async def lookup(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async with Receiver().listening(shown) as receiver:
        added = await desk.add()
        await desk.sql(f"update webhook set url = 'https://receiver.exemple.invalid:{receiver.port}/hook?a=1'")
        desk.send(Courier(timeout=5, loopback=True, lookup=lookup, trust=trust))
        await desk.happens()
        await desk.settled(added.webhook_id, "delivered")
        assert receiver.posts[0].headers["host"] == f"receiver.exemple.invalid:{receiver.port}"

        await desk.sql(f"update webhook set url = 'https://another.exemple.invalid:{receiver.port}/'")
        await desk.office.publish(scheduled(a_session()))

        async def refused() -> bool:
            return "certificate" in str((await desk.newest(added.webhook_id)).last_error)

        await eventually(refused)
        assert len(receiver.posts) == 1


async def test_P7_private_addresses_and_private_events_are_refused_when_added(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def add(url: str, event_type: str = SCHEDULED) -> AddWebhook:
        return AddWebhook(webhook_id=uuid4(), url=url, event_types=(event_type,))

    assert await desk.code(add(desk.receiver.url, "fr.labo.booking.booking_confirmed.v1")) == "webhook_event_not_public"
    assert await desk.code(add("https://10.0.0.1/")) == "webhook_address_refused"
    assert await desk.code(add("https://[::1]/")) == "ok"
    monkeypatch.setenv("LABO_WEBHOOKS_TO_LOOPBACK", "false")
    for url in ("https://localhost/", "https://[::1]/", "https://127.0.0.1/", desk.receiver.url, "https://nobody.exemple.invalid/"):
        assert await desk.code(add(url)) == "webhook_address_refused", url
