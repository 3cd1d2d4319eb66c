"""G5 on real rows: who may, what comes twice, timers, the saga's own side, and what the database swears to."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from services.booking.framing.domain import FramingNoteConflict, FramingNoteUnknown
from services.booking.proposals.domain import ProposalExists, ProposalUnknown
from services.booking.requests.domain import TailoredRequestExists, TailoredRequestUnknown
from services.booking.seats.refusals import BookingClosed, SessionNotReady
from shared.contracts.catalog import PrivateSessionRefused
from shared.contracts.framing import ExportFramingNote, GetFramingNote, WriteFramingNote
from shared.contracts.tailored import (
    CloseTailoredRequest,
    DeclineTailoredRequest,
    FrameTailoredRequest,
    GetProposalForHost,
    GetTailoredRequest,
    ListTailoredRequests,
    ProposalState,
    ProposeDates,
    RequestState,
    TailoredRequest,
    WithdrawTailoredRequest,
)
from shared.database import Database, constraint_of
from shared.errors import NotAllowed
from shared.outbox import uuid7
from tests.booking.given import ALICE, BOB, OPERATOR, agent, book, catalog_says, counters, it_is, nothing_is_wrong, paris
from tests.booking.tailored import (
    ANOTHER_HOST,
    HOST,
    LAB,
    MONDAY,
    a_proposal,
    agreed,
    an_order,
    answer,
    ask,
    catalog_answers,
    confirmed,
    framed,
    hear,
    host,
    now_of,
    proposed,
    said_last,
    scheduled,
    seats_of,
    submitted,
    timers_fire,
    told,
)


def a_note(request: TailoredRequest, based_on: int, objective: str = "Repartir avec trois idées") -> WriteFramingNote:
    return WriteFramingNote(
        tailored_request_id=request.tailored_request_id,
        based_on=based_on,
        objective=objective,
        decision_rights="Le directeur tranche.",
        participants="Six personnes.",
        deliverables="Un relevé d'idées.",
        constraints="Un lieu de plain-pied.",
    )


# --- on its way ----------------------------------------------------------------------------------------------------------------------


async def test_G5_from_the_wish_to_the_seat_of_whom_it_was_made_for(booking: Database) -> None:
    request = await scheduled(booking, a_proposal(), a_proposal(date(2027, 5, 20), ANOTHER_HOST))
    assert request.session_id

    assert request.state is RequestState.SCHEDULED
    assert await told(booking, request) == ["submitted", "framed", "proposed", "host_confirmed", "agreed", "scheduled"]
    assert await seats_of(booking, request.session_id) == [(ALICE, "confirmed")]
    assert await counters(booking, request.session_id) == (6, 1, 0)
    with pytest.raises(BookingClosed):  # B6: closed to everybody else since the agreement
        await book(booking, request.session_id, BOB)
    await nothing_is_wrong(booking)


async def test_no_event_of_a_request_holds_a_text_that_somebody_wrote(booking: Database) -> None:
    await scheduled(booking)

    async with booking.connect() as connection:
        said = " ".join(payload.decode() for payload in await connection.scalars(text("select payload from outbox")))
    assert "fauteuil" not in said
    assert "essaie" not in said
    assert "Chambre" not in said


async def test_asking_twice_makes_one_request_and_other_words_under_its_id_are_refused(booking: Database) -> None:
    it_is(MONDAY)
    order = an_order()

    first, second = await ask(booking, order, agent(ALICE)), await ask(booking, order, agent(ALICE))

    assert first == second
    assert await told(booking, first) == ["submitted"]
    with pytest.raises(TailoredRequestExists):
        await ask(booking, order.model_copy(update={"participants": 7}), agent(ALICE))


async def test_proposals_of_another_request_are_not_proposed_again(booking: Database) -> None:
    taken = a_proposal()
    await proposed(booking, taken)
    request = await framed(booking)

    with pytest.raises(ProposalExists):
        await ask(booking, ProposeDates(tailored_request_id=request.tailored_request_id, proposals=(taken,)))


# --- who may -------------------------------------------------------------------------------------------------------------------------


async def test_another_agents_request_does_not_exist(booking: Database) -> None:
    request = await framed(booking)
    about: Any = {"tailored_request_id": request.tailored_request_id}

    orders: Any = (GetTailoredRequest(**about), WithdrawTailoredRequest(**about), GetFramingNote(**about), a_note(request, 1))
    for order in orders:
        with pytest.raises(TailoredRequestUnknown):
            await ask(booking, order, agent(BOB))
    with pytest.raises(NotAllowed):
        await ask(booking, an_order(), agent(BOB))


async def test_what_the_lab_decides_no_agent_decides(booking: Database) -> None:
    request = await submitted(booking)
    about: Any = {"tailored_request_id": request.tailored_request_id}

    orders: Any = (
        FrameTailoredRequest(**about),
        ProposeDates(**about, proposals=(a_proposal(),)),
        DeclineTailoredRequest(**about, reason="Non, merci", redirection="Ailleurs"),
        CloseTailoredRequest(**about),
        ListTailoredRequests(),
    )
    for order in orders:
        with pytest.raises(NotAllowed):
            await ask(booking, order, agent(ALICE))


async def test_only_an_operator_records_the_past_and_nobody_the_future(booking: Database) -> None:
    it_is(MONDAY)

    past = await ask(booking, an_order(at=MONDAY - timedelta(days=12)), OPERATOR)

    assert past.submitted_at == MONDAY - timedelta(days=12)
    assert past.overdue
    assert await timers_fire(booking) == 0  # an import has a minute to tell what came of it
    it_is(MONDAY + timedelta(minutes=1))
    assert await timers_fire(booking) == 1
    it_is(MONDAY)
    for caller, at in ((LAB, MONDAY - timedelta(days=1)), (OPERATOR, MONDAY + timedelta(seconds=1))):
        with pytest.raises(NotAllowed):
            await ask(booking, an_order(at=at), caller)


async def test_G5_a_host_sees_and_answers_their_own_proposal_and_no_other(booking: Database) -> None:
    mine, theirs = (await proposed(booking, a_proposal(), a_proposal(host=ANOTHER_HOST))).proposals

    view = await ask(booking, GetProposalForHost(proposal_id=mine.proposal_id), host())

    assert (view.participants, view.answerable_until, view.withdrawable) == (6, paris(2027, 3, 15, 9), True)
    with pytest.raises(ProposalUnknown):
        await ask(booking, GetProposalForHost(proposal_id=theirs.proposal_id), host())
    with pytest.raises(ProposalUnknown):
        await answer(booking, theirs.proposal_id, accepts=True, contact_id=HOST)
    with pytest.raises(ProposalUnknown):
        await answer(booking, uuid4(), accepts=True)


# --- time ----------------------------------------------------------------------------------------------------------------------------


async def test_G5_the_lab_is_alarmed_once_and_the_breach_is_listed(booking: Database) -> None:
    request, other = await framed(booking), await proposed(booking)
    it_is(paris(2027, 3, 8, 9))

    await timers_fire(booking)
    assert await timers_fire(booking) == 0

    assert (await told(booking, request)).count("overdue") == 1
    assert (await told(booking, request))[-1] == "overdue"
    found = await ask(booking, ListTailoredRequests(overdue=True))
    assert [(each.tailored_request_id, each.overdue) for each in found.requests] == [(request.tailored_request_id, True)]
    assert len((await ask(booking, ListTailoredRequests())).requests) == 2
    assert (await told(booking, other))[-1] == "proposed"


async def test_G5_an_answer_in_time_stops_the_alarm_and_starts_the_next_clock(booking: Database) -> None:
    request = await submitted(booking)
    it_is(paris(2027, 3, 5, 9))
    await ask(booking, FrameTailoredRequest(tailored_request_id=request.tailored_request_id))

    it_is(paris(2027, 3, 12, 8, 59))
    await timers_fire(booking)
    assert "overdue" not in await told(booking, request)
    it_is(paris(2027, 3, 12, 9))
    await timers_fire(booking)
    assert (await told(booking, request))[-1] == "overdue"


async def test_G5_timers_that_come_late_together_raise_one_alarm(booking: Database) -> None:
    """The first answer came in time; then the service was away until both of its dates had passed."""
    request = await submitted(booking)
    it_is(paris(2027, 3, 5, 9))
    await ask(booking, FrameTailoredRequest(tailored_request_id=request.tailored_request_id))
    it_is(paris(2027, 3, 31, 9))

    await timers_fire(booking)

    assert (await told(booking, request)).count("overdue") == 1


async def test_G5_proposals_expire_by_their_timer_and_the_request_is_back_in_framing(booking: Database) -> None:
    request = await confirmed(booking)
    it_is(paris(2027, 3, 15, 9))

    await timers_fire(booking)

    after = await now_of(booking, request)
    assert (after.state, after.proposals[0].state) == (RequestState.FRAMING, ProposalState.CLOSED)
    assert (await told(booking, request))[-1] == "expired"


async def test_an_agreement_stops_the_expiry(booking: Database) -> None:
    request = await agreed(booking)
    it_is(paris(2027, 3, 15, 9))

    await timers_fire(booking)

    assert (await now_of(booking, request)).state is RequestState.AGREED


async def test_a_request_is_held_with_its_session_wherever_that_moved_and_closes_by_itself(booking: Database) -> None:
    request = await scheduled(booking)
    assert request.session_id
    moved = catalog_says(request.session_id, version=2, starts_at=paris(2027, 4, 9, 14))
    await hear(booking, moved)

    it_is(paris(2027, 4, 9, 14, 30))
    await timers_fire(booking)
    assert (await now_of(booking, request)).state is RequestState.SCHEDULED
    it_is(paris(2027, 4, 9, 15))
    await timers_fire(booking)
    assert (await now_of(booking, request)).state is RequestState.HELD
    it_is(paris(2027, 4, 23, 15))
    await timers_fire(booking)
    assert (await told(booking, request))[-2:] == ["held", "closed"]


async def test_the_lab_closes_a_held_request_before_its_time(booking: Database) -> None:
    request = await scheduled(booking)
    it_is(paris(2027, 4, 8, 16))
    await timers_fire(booking)

    await ask(booking, CloseTailoredRequest(tailored_request_id=request.tailored_request_id))

    it_is(paris(2027, 5, 31))
    await timers_fire(booking)
    assert (await told(booking, request))[-2:] == ["held", "closed"]


# --- the framing note ----------------------------------------------------------------------------------------------------------------


async def test_a_note_keeps_every_version_and_refuses_one_based_on_an_older(booking: Database) -> None:
    request = await framed(booking)

    second = await ask(booking, a_note(request, 1, "Le but de l'agent"), agent(ALICE))
    with pytest.raises(FramingNoteConflict) as refused:
        await ask(booking, a_note(request, 1, "Le but du Lab"))
    await ask(booking, a_note(request, second.version, "Le but commun"))

    assert refused.value.members == {"version": 2}
    objectives = [
        (await ask(booking, GetFramingNote(tailored_request_id=request.tailored_request_id, version=version))).objective
        for version in (2, 3, None)
    ]
    assert objectives == ["Le but de l'agent", "Le but commun", "Le but commun"]
    exported = await ask(booking, ExportFramingNote(tailored_request_id=request.tailored_request_id), agent(ALICE))
    assert "Le but commun" in exported.markdown
    assert exported.file_name == "note-de-cadrage-labtour-v3.md"


async def test_there_is_no_note_before_the_lab_took_the_request_up(booking: Database) -> None:
    request = await submitted(booking)

    with pytest.raises(FramingNoteUnknown):
        await ask(booking, a_note(request, 1))
    with pytest.raises(FramingNoteUnknown):
        await ask(booking, GetFramingNote(tailored_request_id=request.tailored_request_id))


# --- what catalog says ---------------------------------------------------------------------------------------------------------------


async def test_catalogs_refusal_reopens_the_request_once_however_often_it_is_heard(booking: Database) -> None:
    request = await agreed(booking)
    assert request.session_id
    refusal = PrivateSessionRefused(version=1, session_id=request.session_id, code="venue_taken", reason="Le lieu est pris.")
    event_id = uuid7()

    for same in (event_id, event_id, uuid7()):  # delivered again, and stored again after a refill of the stream
        await hear(booking, refusal, same)

    after = await now_of(booking, request)
    assert (after.state, after.reason, after.session_id) == (RequestState.FRAMING, "Le lieu est pris.", None)
    assert await told(booking, request) == ["submitted", "framed", "proposed", "host_confirmed", "agreed", "reopened"]


async def test_a_session_that_is_heard_again_gives_no_second_seat(booking: Database) -> None:
    request = await scheduled(booking)
    assert request.session_id

    await catalog_answers(booking, request)

    assert await seats_of(booking, request.session_id) == [(ALICE, "confirmed")]
    assert (await now_of(booking, request)).version == request.version


async def test_G5_a_session_that_is_heard_of_after_it_began_still_gives_the_seat_that_was_agreed(booking: Database) -> None:
    request = await agreed(booking)
    assert request.session_id

    it_is(paris(2027, 4, 8, 15))
    await catalog_answers(booking, request)

    assert await seats_of(booking, request.session_id) == [(ALICE, "confirmed")]
    assert (await now_of(booking, request)).state is RequestState.SCHEDULED


async def test_the_request_waits_for_the_seats_to_hear_of_the_session_first(booking: Database) -> None:
    request = await agreed(booking)
    assert request.session_id

    with pytest.raises(SessionNotReady):  # retryable: the durable hears it again
        await hear(booking, catalog_says(request.session_id))
    await catalog_answers(booking, request)

    assert (await now_of(booking, request)).state is RequestState.SCHEDULED


async def test_G5_a_session_of_a_host_who_withdrew_meanwhile_gives_nobody_a_seat(booking: Database) -> None:
    request = await agreed(booking)
    assert request.session_id
    await answer(booking, request.proposals[0].proposal_id, accepts=False)

    await catalog_answers(booking, request)

    assert await seats_of(booking, request.session_id) == []
    after = await now_of(booking, request)
    assert (after.state, after.priority) == (RequestState.PROPOSED, True)
    assert (await said_last(booking, request)).session_id == request.session_id


async def test_a_session_that_the_lab_cancels_reopens_the_request_with_priority(booking: Database) -> None:
    request = await scheduled(booking)

    await catalog_answers(booking, request, version=2, status="cancelled")

    after = await now_of(booking, request)
    assert (after.state, after.priority) == (RequestState.FRAMING, True)
    assert after.reason == "La séance est annulée : intervenant souffrant"
    assert (await said_last(booking, request)).code == "session_cancelled"
    first, *_ = (await ask(booking, ListTailoredRequests())).requests
    assert first.tailored_request_id == request.tailored_request_id


async def test_what_the_lab_owes_comes_first_in_its_list(booking: Database) -> None:
    late, waiting, later = await submitted(booking), await proposed(booking), await submitted(booking)
    reopened = await scheduled(booking)
    await answer(booking, reopened.proposals[0].proposal_id, accepts=False)
    it_is(MONDAY + timedelta(hours=1))
    await ask(booking, FrameTailoredRequest(tailored_request_id=later.tailored_request_id))

    found = [each.tailored_request_id for each in (await ask(booking, ListTailoredRequests())).requests]

    assert found == [each.tailored_request_id for each in (reopened, late, later, waiting)]


# --- what the database swears to -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("state = 'agreed', answer_due_at = null", "tailored_request_agreed_whole"),
        ("answer_due_at = null", "tailored_request_answer_owed"),
        ("proposals_expire_at = now()", "tailored_request_proposals_expire"),
        ("state = 'declined', answer_due_at = null", "tailored_request_declined_with_words"),
    ],
)
async def test_the_database_refuses_a_request_that_no_rule_makes(booking: Database, change: str, constraint: str) -> None:
    await framed(booking)

    with pytest.raises(IntegrityError) as refused:
        async with booking.begin() as tx:
            await tx.execute(text(f"update tailored_request set {change}"))
    assert constraint_of(refused.value) == constraint


async def test_G5_the_database_refuses_a_fourth_date(booking: Database) -> None:
    await proposed(booking)

    with pytest.raises(IntegrityError) as refused:
        async with booking.begin() as tx:
            await tx.execute(
                text("insert into proposal select :id, tailored_request_id, round, 4, state, content from proposal"), {"id": uuid4()}
            )
    assert constraint_of(refused.value) == "proposal_one_to_three"
