"""G5: what is told of a tailored request, to whom, and that what people wrote is asked for when a mail leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.notify.mail.compose import about_tailored_request
from services.notify.mail.domain import MailKind
from services.notify.tailored import handlers
from services.notify.tailored.domain import LAB, mails_for, reason_to_drop
from shared.bus import Bus, Caller
from shared.consumers import Inlet
from shared.contracts.catalog import ActivityType, LocalPeriod
from shared.contracts.tailored import GetTailoredRequest, Proposal, ProposalState, RequestState, TailoredRequest
from shared.contracts.tailored_events import (
    HostAsked,
    ProposalFact,
    TailoredRequestDeclined,
    TailoredRequestEvent,
    TailoredRequestExpired,
    TailoredRequestHostWithdrew,
    TailoredRequestOverdue,
    TailoredRequestProposed,
    TailoredRequestScheduled,
    TailoredRequestSubmitted,
    TailoredRequestWithdrawn,
)
from shared.database import Database
from shared.links import Purpose, read_link
from shared.listening import Listener
from shared.requests import Requests, Responder
from shared.settings import Settings
from tests.notify.conftest import Office
from tests.notify.given import a_contact
from tests.notify.sink import body
from tests.notify.test_message import MAIL_ID, NOW, SECRET, WRITER

AGENT, HOST, ANOTHER_HOST = uuid4(), uuid4(), uuid4()
DUE, EXPIRY = datetime(2027, 3, 8, 8, tzinfo=UTC), datetime(2027, 3, 15, 8, tzinfo=UTC)


def a_proposal(state: ProposalState = ProposalState.ASKED, host: UUID | None = HOST) -> Proposal:
    start, end = datetime.fromisoformat("2027-04-08T14:00"), datetime.fromisoformat("2027-04-08T16:00")
    return Proposal(
        proposal_id=uuid4(),
        activity_id=uuid4(),
        periods=(LocalPeriod(local_start=start, local_end=end),),
        place="La Chambre témoin, Nîmes",
        capacity=6,
        cost="Gratuit.",
        carbon="28 kg de CO2 en train.",
        host_contact_id=host,
        state=state,
    )


def a_request(state: RequestState = RequestState.SUBMITTED, *proposals: Proposal, **changed: Any) -> TailoredRequest:
    given: dict[str, Any] = {
        "tailored_request_id": uuid4(),
        "version": 1,
        "activity_type": ActivityType.LABTOUR,
        "agent_id": AGENT,
        "org_unit": "prefecture-30",
        "wishes": "Voir <comment> un lieu essaie.",
        "participants": 6,
        "access_needs": "Une personne en fauteuil",
        "earliest": date(2027, 3, 1),
        "latest": date(2027, 6, 30),
        "submitted_at": NOW,
        "answer_due_at": DUE,
        "proposals_expire_at": EXPIRY,
        "reason": "La structure d'accueil s'est désistée.",
        "redirection": "La formation du 18 mars.",
    }
    return TailoredRequest(state=state, proposals=proposals, **given | changed)


def fact(kind: type[TailoredRequestEvent], request: TailoredRequest, **members: Any) -> Any:
    about = request.model_dump(include={"tailored_request_id", "version", "agent_id", "activity_type", "state"})
    return kind(**about, decided_at=NOW, **members)


def told(event: TailoredRequestEvent) -> list[tuple[str, UUID]]:
    return [(each.kind.value, each.recipient_id) for each in mails_for(event)]


# --- who is told what ----------------------------------------------------------------------------------------------------------------


def test_G5_the_agent_has_an_answer_at_once_and_the_lab_its_clock() -> None:
    event = fact(TailoredRequestSubmitted, a_request(), org_unit="prefecture-30", participants=6)

    assert told(event) == [("tailored_received", AGENT), ("tailored_to_answer", LAB)]


def test_G5_each_host_is_asked_of_each_date_of_theirs_and_both_sides_hear_of_the_expiry() -> None:
    request = a_request(RequestState.PROPOSED)
    facts = [
        ProposalFact(proposal_id=uuid4(), activity_id=uuid4(), periods=(), capacity=6, host_contact_id=host) for host in (HOST, HOST, None)
    ]
    released = (HostAsked(proposal_id=uuid4(), host_contact_id=HOST),)

    proposed = fact(TailoredRequestProposed, request, proposals=tuple(facts), expires_at=EXPIRY)
    expired = fact(TailoredRequestExpired, request, released=released)

    assert told(proposed) == [("tailored_proposed", AGENT), ("host_asked", HOST), ("host_asked", HOST)]
    assert len({each.proposal_id for each in mails_for(proposed)}) == 3
    assert told(expired) == [("tailored_expired", AGENT), ("tailored_expired", LAB), ("host_released", HOST)]


def test_G5_a_withdrawal_of_the_host_is_told_to_agent_and_lab_and_the_others_are_freed_when_it_is_settled() -> None:
    ids: dict[str, Any] = {"session_id": uuid4(), "proposal_id": uuid4(), "host_contact_id": HOST}
    request = a_request(RequestState.SCHEDULED)
    other = (HostAsked(proposal_id=uuid4(), host_contact_id=ANOTHER_HOST),)

    assert told(fact(TailoredRequestHostWithdrew, request, **ids)) == [("tailored_reopened", AGENT), ("tailored_reopened", LAB)]
    settled = fact(TailoredRequestScheduled, request, released=other, **ids)
    assert told(settled) == [("host_expected", HOST), ("host_released", ANOTHER_HOST)]


def test_the_lab_alone_hears_of_its_own_delay_and_of_a_request_given_up() -> None:
    assert told(fact(TailoredRequestOverdue, a_request(), due_at=DUE)) == [("tailored_overdue", LAB)]
    assert told(fact(TailoredRequestWithdrawn, a_request())) == [("tailored_withdrawn", LAB)]
    assert told(fact(TailoredRequestDeclined, a_request())) == [("tailored_declined", AGENT)]


def test_a_mail_that_waited_is_not_sent_when_things_have_moved_on() -> None:
    asked, ready = a_proposal(), a_proposal(ProposalState.READY)
    request = a_request(RequestState.PROPOSED, asked, ready)

    assert reason_to_drop(MailKind.HOST_ASKED, request, asked.proposal_id) is None
    assert reason_to_drop(MailKind.HOST_ASKED, request, ready.proposal_id)
    assert reason_to_drop(MailKind.HOST_ASKED, request, uuid4())
    assert reason_to_drop(MailKind.TAILORED_PROPOSED, request, None) is None
    assert reason_to_drop(MailKind.TAILORED_PROPOSED, a_request(RequestState.AGREED), None)
    assert reason_to_drop(MailKind.TAILORED_RECEIVED, a_request(RequestState.DECLINED), None) is None


DATES = ("proposals_expire_at", "answer_due_at", "proposals_expire_at answer_due_at")


@pytest.mark.parametrize("kind", [kind for kind in MailKind if kind.startswith(("tailored", "host"))])
@pytest.mark.parametrize("state", RequestState)
@pytest.mark.parametrize(
    "dated", [{"proposals_expire_at": None}, {"answer_due_at": None}, {"proposals_expire_at": None, "answer_due_at": None}]
)
def test_G5_whatever_became_of_a_request_its_mail_is_dropped_or_can_be_written(
    kind: MailKind, state: RequestState, dated: dict[str, None]
) -> None:
    if (state, "answer_due_at" in dated) in {(RequestState.SUBMITTED, True), (RequestState.FRAMING, True)}:
        return  # it is always the lab's turn then, by a date
    asked = a_proposal()
    request = a_request(state, asked, **dated)
    if reason_to_drop(kind, request, asked.proposal_id) is None:
        assert about_tailored_request(
            WRITER, kind=kind, mail_id=MAIL_ID, request=request, proposal_id=asked.proposal_id, contact=a_contact(AGENT), now=NOW
        )["subject"]


# --- the words -----------------------------------------------------------------------------------------------------------------------

MAILS = [kind for kind in MailKind if kind.value.startswith(("tailored_", "host_"))]


@pytest.mark.parametrize("kind", MAILS)
@pytest.mark.parametrize("workshop", [False, True])
def test_every_mail_says_the_same_in_text_and_html_and_names_nobody_else(kind: MailKind, *, workshop: bool) -> None:
    ready, asked = a_proposal(ProposalState.READY), a_proposal()
    kind_of = ActivityType.WORKSHOP_SUPPORT if workshop else ActivityType.LABTOUR
    request = a_request(RequestState.PROPOSED, ready, asked, activity_type=kind_of, priority=workshop, overdue=workshop)
    recipient = HOST if kind.value.startswith("host_") else AGENT if workshop else LAB
    contact = a_contact(recipient, given_name="", usual_name="") if recipient == HOST else a_contact(recipient)

    mail = about_tailored_request(
        WRITER, kind=kind, mail_id=MAIL_ID, request=request, proposal_id=asked.proposal_id, contact=contact, now=NOW
    )

    text, html = body(mail), body(mail, "html")
    assert mail["subject"]
    assert "{{" not in text + html
    assert "None" not in text + html
    assert "<comment>" not in html
    assert str(AGENT) not in text
    assert ("Bonjour," in text) == (recipient == HOST)


def test_the_agent_reads_the_dates_with_place_cost_and_weight_and_which_is_still_to_be_confirmed() -> None:
    request = a_request(RequestState.PROPOSED, a_proposal(ProposalState.READY), a_proposal())

    mail = about_tailored_request(
        WRITER, kind=MailKind.TAILORED_PROPOSED, mail_id=MAIL_ID, request=request, proposal_id=None, contact=a_contact(AGENT), now=NOW
    )

    assert mail["subject"] == "Des dates pour votre visite, réponse avant le lundi 15 mars 2027 à 9 h"
    text = " ".join(body(mail).split())
    assert "1. jeudi 8 avril 2027 de 14 h à 16 h. La Chambre témoin, Nîmes. Gratuit. 28 kg de CO2 en train. 2. jeudi" in text
    assert text.count("Le lieu doit encore confirmer") == 1


# --- on the way out ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def known(office: Office, settings_for: Callable[..., Settings]) -> AsyncIterator[dict[UUID, TailoredRequest]]:
    """What booking answers about requests; notify hears of them and sends."""
    requests, found = Requests(), dict[UUID, TailoredRequest]()

    @requests.query(GetTailoredRequest)
    async def get(request: GetTailoredRequest, caller: Caller, _: Database) -> TailoredRequest:
        assert caller.actor == "notify"
        return found[request.tailored_request_id]

    async with AsyncExitStack() as stack:
        bus = await Bus.connect(settings_for("booking"))
        stack.push_async_callback(bus.close)
        responder = Responder(bus, Database.of(settings_for("booking")), [requests])
        await responder.start()
        stack.push_async_callback(responder.drain)
        listener = Listener(office.settings, office.bus, [Inlet(consumer, office.database) for consumer in handlers.events.all])
        task = asyncio.create_task(listener.run())
        stack.push_async_callback(_ended, task)
        stack.push_async_callback(listener.stop)
        office.send()
        yield found


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_G5_a_host_without_an_account_is_asked_by_links_that_hold_their_proposal(
    office: Office, known: dict[UUID, TailoredRequest], eventually: Callable[..., Awaitable[Any]]
) -> None:
    proposal = a_proposal()
    request = a_request(RequestState.PROPOSED, proposal)
    known[request.tailored_request_id] = request
    office.contacts[HOST] = a_contact(HOST, given_name="", usual_name="", email="accueil@exemple.invalid")
    proposals = (ProposalFact.model_validate(proposal.model_dump()),)
    event = fact(TailoredRequestProposed, request, proposals=proposals, expires_at=EXPIRY)

    await office.publish(event)
    await eventually(lambda: len(office.sink.messages) == 2)

    mail = next(each for each in office.sink.messages if "accueil@exemple.invalid" in str(each["to"]))
    assert "Besoins d'accessibilité : Une personne en fauteuil" in " ".join(body(mail).split())
    tokens = [word.rpartition("/")[2] for word in body(mail).split() if "/reponse/" in word]
    links = [link for token in tokens if (link := read_link(token, SECRET))]
    assert [(each.purpose, each.booking_id, each.agent_id) for each in links] == [
        (Purpose.ACCEPT_AS_HOST, proposal.proposal_id, HOST),
        (Purpose.REFUSE_AS_HOST, proposal.proposal_id, HOST),
    ]
    assert links[0].expires_at == EXPIRY
    assert [row.details for row in await office.rows() if "essaie" in str(row.details) or "fauteuil" in str(row.details)] == []


async def test_the_lab_is_written_to_at_its_own_address_and_what_moved_on_is_dropped(
    office: Office, known: dict[UUID, TailoredRequest], eventually: Callable[..., Awaitable[Any]]
) -> None:
    request = a_request(RequestState.FRAMING)  # framed before the mails could leave
    known[request.tailored_request_id] = request
    event = fact(TailoredRequestSubmitted, a_request(tailored_request_id=request.tailored_request_id), org_unit="x", participants=6)

    await office.publish(event, fact(TailoredRequestOverdue, request.model_copy(update={"version": 2}), due_at=DUE))

    async def settled() -> bool:
        return sorted(await office.states()) == [
            ("tailored_overdue", "sent"),
            ("tailored_received", "sent"),
            ("tailored_to_answer", "dropped"),
        ]

    await eventually(settled)
    (overdue,) = [each for each in office.sink.messages if "retard" in str(each["subject"])]
    assert office.settings.lab_address in str(overdue["to"])
