"""Mails that come back: refused at once or reported later (RFC 3464), told to agent and operator, forgotten after a year (S7, P1)."""

from __future__ import annotations

from datetime import datetime
from email.message import EmailMessage
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from services.notify.bounces import handlers, store
from services.notify.bounces.domain import Report, read_report
from services.notify.mail.handlers import resolve_delivery
from shared.bus import Caller
from shared.contracts.bounces import BounceNoted, GetReachability, ReportBounce
from shared.contracts.notify import ResolveDelivery
from shared.errors import NotAllowed
from tests.conftest import eventually
from tests.notify.conftest import Office, a_confirmation, state_is
from tests.notify.given import Seat, a_session, scheduled

OPERATOR = Caller("operator", frozenset({"operator"}))
MAIL = "0192f3c4-5b6a-7c8d-9e0f-a1b2c3d4e5f6"
RETURNED = f"""Content-Type: message/rfc822

Message-ID: <{MAIL}@exemple.invalid>
To: agent@exemple.invalid
Subject: Inscription
"""
HEADERS_ONLY = f"""Content-Type: text/rfc822-headers

Subject: Inscription
Message-ID: <{MAIL}@exemple.invalid>
"""


def a_report(action: str = "failed", status: str = "5.1.1", *, returned: str = RETURNED, head: str = "") -> str:
    return f"""From: MAILER-DAEMON@exemple.invalid
Subject: Undelivered Mail Returned to Sender
{head}MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="limite"

--limite
Content-Type: text/plain

I'm sorry to have to inform you...

--limite
Content-Type: message/delivery-status

Reporting-MTA: dns; mail.exemple.invalid

Final-Recipient: rfc822; agent@exemple.invalid
Action: {action}
Status: {status}
Diagnostic-Code: smtp; 550 5.1.1 <agent@exemple.invalid> unknown

--limite
{returned}
--limite--
"""


@pytest.mark.parametrize(
    ("given", "verdict", "status"),
    [
        (a_report(), "bounced", "5.1.1"),
        (a_report(status="5.2.2 (mailbox full)"), "bounced", "5.2.2"),
        (a_report(returned=HEADERS_ONLY), "bounced", "5.1.1"),
        (a_report(returned="Content-Type: text/plain\n\nnothing", head=f"In-Reply-To: <{MAIL}@exemple.invalid>\n"), "bounced", "5.1.1"),
        (a_report("delayed", "4.4.1"), "delayed", "4.4.1"),
        (a_report("failed", "4.4.7"), "delayed", "4.4.7"),
        (a_report("delivered", "2.1.5"), "delivered", "2.1.5"),
        (a_report().replace("\n", "\r\n"), "bounced", "5.1.1"),
    ],
)
def test_S7_a_report_says_which_mail_and_what_became_of_it(given: str, verdict: Any, status: str) -> None:
    assert read_report(given) == Report(MAIL, verdict, status)


def test_K5_an_absence_a_declined_invitation_and_a_persons_words_are_no_reports() -> None:
    absence, declined = EmailMessage(), EmailMessage()
    absence["In-Reply-To"] = declined["In-Reply-To"] = f"<{MAIL}@exemple.invalid>"
    absence.set_content("Je suis absent.")
    declined.set_content("Declined")
    declined.add_alternative("BEGIN:VCALENDAR\r\nMETHOD:REPLY\r\nEND:VCALENDAR\r\n", subtype="calendar", params={"method": "REPLY"})

    foreign = a_report(returned="Content-Type: text/plain\n\nof another house")

    assert [read_report(each) for each in (absence.as_string(), declined.as_string(), "", "\0", foreign)] == [None] * 5


async def reported(office: Office, mail_id: UUID, *report: str, caller: Caller = OPERATOR) -> BounceNoted:
    async with office.database.begin() as tx:
        return await handlers.report_bounce(ReportBounce(report=a_report(*report).replace(MAIL, str(mail_id))), caller, tx)


async def reachable(office: Office, agent_id: UUID) -> bool:
    asked = GetReachability(agent_id=agent_id)
    found = await handlers.get_reachability(asked, Caller(str(agent_id), frozenset({"agent"})), office.database)
    return found.undeliverable_since is None


async def events_of(office: Office) -> list[int]:
    return [row.aggregate_version for row in await office.rows("select aggregate_version from outbox order by id")]


async def test_S7_a_mail_that_comes_back_later_is_bounced_once_and_its_agent_is_marked(post: Office) -> None:
    agent = uuid4()
    await a_confirmation(post, agent)
    await post.mails(1)
    ((mail_id,),) = await post.rows("select id from mail")

    assert (await reported(post, mail_id, "delayed", "4.4.1")).verdict == "delayed"
    assert (await post.states(), await reachable(post, agent)) == ([("booking_confirmed", "sent")], True)
    for _ in range(2):
        assert (await reported(post, mail_id)).verdict == "bounced"

    assert await post.states() == [("booking_confirmed", "bounced")]
    assert await reachable(post, agent) is False
    assert await events_of(post) == [1]
    (row,) = await post.rows("select last_error from mail")
    assert row.last_error == "5.1.1 refused, said a report", "and no address"
    assert (await reported(post, uuid4())).verdict == "mail_unknown"
    with pytest.raises(NotAllowed):
        await reported(post, mail_id, caller=Caller(str(agent), frozenset({"agent"})))
    with pytest.raises(NotAllowed):
        await handlers.get_reachability(GetReachability(agent_id=agent), Caller(str(uuid4()), frozenset({"agent"})), post.database)


async def test_S7_a_mail_tried_again_may_bounce_again_and_each_time_is_said(post: Office) -> None:
    agent = uuid4()
    post.sink.refuse["*"] = "550 5.1.1 unknown"
    await a_confirmation(post, agent)
    await state_is(post, "bounced")
    assert await reachable(post, agent) is False
    ((mail_id,),) = await post.rows("select id from mail")

    async with post.database.begin() as tx:
        await resolve_delivery(ResolveDelivery(mail_id=mail_id, resolution="again"), OPERATOR, tx)
        assert await store.since(tx, agent) is None

    async def said_twice() -> bool:
        return await events_of(post) == [1, 2]

    await eventually(said_twice)
    assert await reachable(post, agent) is False


async def test_P1_mails_are_forgotten_after_a_year_and_entries_a_year_after_their_session(post: Office) -> None:
    session, seat = a_session(), Seat(a_session(), uuid4())
    await post.publish(scheduled(session), Seat(session, uuid4()).confirmed(), Seat(session, uuid4()).waits())
    await post.mails(2)
    await post.publish(seat.confirmed())  # of a session that nobody has announced: it waits
    await post.consumed()
    everything = "select kind, state from mail order by kind, state"

    async def forget(now: str) -> dict[Any, int]:
        async with post.database.begin() as tx:
            return dict(await store.forget(tx, datetime.fromisoformat(now), handlers.A_YEAR))

    assert await forget("2028-03-01T00:00:00+00:00") == {"entries": 0, "mails": 0}
    async with post.database.begin() as tx:
        await tx.execute(text("update mail set created_at = created_at - interval '366 days'"))
    assert await forget("2028-03-01T00:00:00+00:00") == {"entries": 0, "mails": 1}
    assert await post.rows(everything) == [("booking_confirmed", "new"), ("booking_confirmed", "sent")], "SEQUENCE still depends on it"
    assert await forget("2028-03-19T00:00:00+00:00") == {"entries": 1, "mails": 1}
    assert await post.rows(everything) == [("booking_confirmed", "new")], "what is not settled is not forgotten"
