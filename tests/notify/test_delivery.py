"""The mail promise (F5, I4): nothing lost, nothing sent twice, and what nobody can know is shown as uncertain."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from nats.aio.client import Client

from services.notify import rounds
from services.notify.mail.handlers import list_deliveries
from shared.bus import Caller
from shared.contracts.notify import DeliveryBounced, ListDeliveries
from shared.errors import NotAllowed
from shared.outbox import uuid7
from tests.conftest import eventually
from tests.notify.conftest import Office, a_confirmation, state_is
from tests.notify.given import Seat, a_session, on_the_wire, scheduled
from tests.notify.sink import Sink, drop

A_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_F5_a_refused_connection_defers_and_the_mail_leaves_when_the_server_is_back(office: Office) -> None:
    closed = Sink()
    async with closed.listening():
        """Only to have a port that nobody listens on."""
    office.listen()
    office.send(smtp_port=closed.port)

    await a_confirmation(office)
    await state_is(office, "deferred")
    ((attempts, error, message_id),) = await office.rows("select attempts, last_error, message_id from mail")
    assert attempts >= 1
    assert error.startswith("SMTPConnectError")
    assert message_id is None  # it never was on its way

    async with closed.listening():
        await state_is(office, "sent")
    assert len(closed.messages) == 1


async def test_F5_a_connection_lost_after_the_message_is_uncertain_and_nothing_is_sent_again(office: Office) -> None:
    office.listen()
    sending = office.send()
    office.sink.on_message = drop

    await a_confirmation(office)
    await state_is(office, "uncertain")

    sending.cancel()
    office.sink.on_message = None
    office.send()
    await a_confirmation(office)
    await state_is(office, "sent", "uncertain")
    await asyncio.sleep(2 * rounds.POLL_SECONDS)
    assert len(office.sink.messages) == 2  # the sink had taken the first: had it been tried again, there would be three


async def test_F5_no_answer_after_the_message_is_uncertain(office: Office) -> None:
    async def hang(_: SMTP) -> None:
        await asyncio.sleep(2)

    office.listen()
    office.send(smtp_timeout=0.3)
    office.sink.on_message = hang

    await a_confirmation(office)

    await state_is(office, "uncertain")
    ((error,),) = await office.rows("select last_error from mail")
    assert "no answer after the message" in error


async def test_F5_a_kept_conversation_that_the_server_ended_costs_no_mail_and_no_delay(post: Office) -> None:
    servers: list[SMTP] = []
    post.sink.on_message = servers.append
    await a_confirmation(post)
    await state_is(post, "sent")

    for server in servers:
        drop(server)
    for _ in range(4):
        await a_confirmation(post)

    await state_is(post, *["sent"] * 5)
    assert [row.attempts for row in await post.rows()] == [1] * 5


class Storm(Sink):
    """Every third mail meets some trouble: dropped before or after it was taken, put off, or left without an answer."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.dice = random.Random(seed)

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        if self.dice.random() < 0.15:
            drop(server)
        return "451 4.7.1 later" if self.dice.random() < 0.15 else await super().handle_RCPT(server, session, envelope, address, options)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        chance = self.dice.random()
        if chance < 0.04:
            drop(server)  # the message was not taken, but who can tell
            return "451 gone"
        answer = await super().handle_DATA(server, session, envelope)
        if chance < 0.08:
            drop(server)
        elif chance < 0.12:
            await asyncio.sleep(0.6)
        return answer


@pytest.mark.parametrize("seed", range(3))
async def test_I4_in_a_storm_no_mail_is_lost_and_none_is_sent_twice(office: Office, seed: int) -> None:
    storm = Storm(seed)
    async with storm.listening():
        office.listen()
        office.send(smtp_port=storm.port, smtp_timeout=0.4, deferral_base=0.05, instance="one")
        office.send(smtp_port=storm.port, smtp_timeout=0.4, deferral_base=0.05, instance="two")
        session = a_session()
        await office.publish(scheduled(session), *(Seat(session, uuid4()).confirmed() for _ in range(60)))
        await office.consumed()

        async def over() -> bool:
            return {state for _, state in await office.states()} <= {"sent", "uncertain"}

        await eventually(over, within=30)

    rows = await office.rows("select message_id, state from mail")
    taken = [message["message-id"] for message in storm.messages]
    assert len(rows) == 60
    assert len(set(taken)) == len(taken)
    assert {row.message_id for row in rows if row.state == "sent"} <= set(taken)
    assert 0 < sum(row.state == "uncertain" for row in rows) < 25


async def test_S7_greylisting_defers_and_the_second_try_passes(post: Office) -> None:
    agent = post.an_agent()
    address = post.contacts[agent].email
    post.sink.refuse[address] = "451 4.7.1 greylisted, come back later"

    await a_confirmation(post, agent)
    await state_is(post, "deferred")
    del post.sink.refuse[address]

    await state_is(post, "sent")
    ((attempts, message_id),) = await post.rows("select attempts, message_id from mail")
    assert attempts >= 2
    assert post.sink.messages[0]["message-id"] == message_id


async def test_S7_a_mail_that_cannot_leave_for_three_days_has_failed(office: Office) -> None:
    office.listen()
    office.send(give_up_after=0.8)
    office.sink.refuse["*"] = "451 4.7.1 never"

    await a_confirmation(office)

    await state_is(office, "failed")
    ((error,),) = await office.rows("select last_error from mail")
    assert error == "given up: 451 4.7.1 never"


async def test_a_recipient_refused_for_good_bounces_and_the_event_says_so(post: Office, nats_as: Callable[..., Any]) -> None:
    post.relay()
    agent = post.an_agent()
    post.sink.refuse[post.contacts[agent].email] = f"550 5.1.1 <{post.contacts[agent].email}>: user unknown"

    await a_confirmation(post, agent)

    await state_is(post, "bounced")
    ((mail_id, error),) = await post.rows("select id, last_error from mail")
    assert error == "550 5.1.1 <…>: user unknown"
    admin: Client = await nats_as("topology")

    async def said() -> DeliveryBounced:
        answer = await admin.request("$JS.API.STREAM.MSG.GET.EVT_NOTIFY", json.dumps({"last_by_subj": "evt.notify.>"}).encode())
        message = json.loads(answer.data).get("message")
        assert message, answer.data
        return DeliveryBounced.model_validate_json(base64.b64decode(message["data"]))

    bounced = await eventually(said)
    assert (bounced.mail_id, bounced.agent_id, bounced.kind) == (mail_id, agent, "booking_confirmed")


async def test_a_message_refused_for_good_has_failed_without_a_bounce(post: Office) -> None:
    post.sink.answers = ["554 5.6.0 content not wanted"]

    await a_confirmation(post)

    await state_is(post, "failed")
    assert await post.rows("select 1 from outbox") == []


async def test_an_address_that_cannot_be_written_to_has_failed(post: Office) -> None:
    await a_confirmation(post, post.an_agent(email="élodie@exemple.invalid"))
    await a_confirmation(post, post.an_agent(email="a@domaine-protégé.invalid"))

    await state_is(post, "failed", "sent")
    assert post.sink.recipients == ["a@xn--domaine-protg-mhbb.invalid"]


async def test_a_dead_mail_server_delays_mail_and_blocks_nothing(office: Office) -> None:
    closed = Sink()
    async with closed.listening():
        """Only to have a port that nobody listens on."""
    office.listen()
    office.send(smtp_port=closed.port)
    session = a_session()
    await office.publish(scheduled(session), *(Seat(session, uuid4()).confirmed() for _ in range(50)))

    await office.consumed()

    assert len(await office.rows("select 1 from booking")) == 50
    async with closed.listening():
        await state_is(office, *["sent"] * 50)
    assert len(set(closed.recipients)) == len(closed.messages) == 50


async def test_a_silent_directory_delays_mail_and_counts_no_attempt(post: Office) -> None:
    post.answering.clear()
    await a_confirmation(post)
    await eventually(lambda: post.asked_in)
    assert await post.states() == [("booking_confirmed", "new")]

    post.answering.set()

    await state_is(post, "sent")
    ((attempts,),) = await post.rows("select attempts from mail")
    assert attempts == 1


async def test_one_unreadable_event_in_a_batch_is_parked_and_its_neighbours_are_mailed(office: Office) -> None:
    session = a_session()
    await office.publish(scheduled(session))
    good = [Seat(session, uuid4()).confirmed() for _ in range(10)]
    await office.publish(*good[:5])
    subject, payload, headers = on_the_wire(Seat(session, uuid4()).confirmed())
    stream = office.publishers["booking"].jetstream()
    await stream.publish(subject, payload.replace(b'"confirmed"', b'"seated"'), headers=headers)
    await stream.publish(f"{good[0].subject}.{uuid4()}", b"{", headers=headers | {"Nats-Msg-Id": str(uuid7()), "ce-id": str(uuid7())})
    await office.publish(*good[5:])

    office.listen()
    office.send()

    await office.mails(10)
    parked = await office.rows("select error_code from dead_letter")
    assert [code for (code,) in parked] == ["malformed_message"] * 2


async def test_two_replicas_send_each_mail_once(office: Office) -> None:
    office.listen()
    office.send(instance="one")
    office.send(instance="two")
    session = a_session()

    await office.publish(scheduled(session), *(Seat(session, uuid4()).confirmed() for _ in range(40)))

    await office.mails(40)
    assert len(set(office.sink.recipients)) == 40


async def test_a_mail_leaves_right_after_the_commit_that_wrote_it(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "POLL_SECONDS", 60.0)
    office.listen()
    office.send()
    await a_confirmation(office)
    await office.mails(1)
    session = a_session()
    await office.publish(scheduled(session))
    await office.consumed()

    began = time.perf_counter()
    await office.publish(Seat(session, uuid4()).confirmed())
    await eventually(lambda: len(office.sink.messages) == 2)

    assert time.perf_counter() - began < 2  # 0.03 s when the machine has nothing else to do


async def test_one_trace_leads_from_the_booking_to_the_mail(post: Office) -> None:
    session = a_session()
    await post.publish(scheduled(session))
    await post.publish(Seat(session, uuid4()).confirmed(), traceparent=A_TRACE)

    await post.mails(1)

    (asked_in,) = post.asked_in
    assert asked_in is not None
    assert asked_in.split("-")[1] == A_TRACE.split("-")[1]


# --- who may look --------------------------------------------------------------------------------------------------------------------


async def test_agents_see_what_became_of_their_own_mail_and_operators_of_all(post: Office) -> None:
    alice, bruno = post.an_agent(), post.an_agent()
    post.sink.refuse[post.contacts[bruno].email] = "550 no such user"
    await a_confirmation(post, alice)
    await a_confirmation(post, bruno)
    await state_is(post, "sent", "bounced")

    async def seen_by(caller: Caller, **filters: Any) -> list[tuple[UUID, str]]:
        answer = await list_deliveries(ListDeliveries(**filters), caller, post.database)
        return sorted((delivery.agent_id, delivery.state) for delivery in answer.deliveries)

    operator, agent = Caller("operator", frozenset({"operator"})), Caller(str(alice), frozenset({"agent"}))
    assert await seen_by(operator) == sorted([(alice, "sent"), (bruno, "bounced")])
    assert await seen_by(operator, state="bounced") == [(bruno, "bounced")]
    assert await seen_by(agent) == await seen_by(agent, agent_id=alice) == [(alice, "sent")]
    for caller, asked in ((agent, bruno), (Caller("somebody"), None)):
        with pytest.raises(NotAllowed):
            await seen_by(caller, agent_id=asked)
