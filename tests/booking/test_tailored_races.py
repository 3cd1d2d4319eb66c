"""Real concurrency on one request: each order in a transaction of its own, and exactly one outcome."""

from __future__ import annotations

from asyncio import gather
from datetime import timedelta

from services.booking.framing.domain import FramingNoteConflict
from shared.contracts.framing import FramingNote
from shared.contracts.tailored import AgreeToProposal, RequestState, TailoredRequest
from shared.database import Database
from shared.errors import Refused
from tests.booking.given import ALICE, OPERATOR, agent, catalog_says, it_is, paris
from tests.booking.tailored import (
    LAB,
    a_proposal,
    agreed,
    answer,
    ask,
    confirmed,
    framed,
    hear,
    hear_seats,
    now_of,
    said_last,
    seats_of,
    take_first,
    timers_fire,
    told,
)
from tests.booking.test_tailored import a_note

ROUNDS = 8


async def test_G5_an_agreement_of_the_last_second_and_the_expiry_race_and_the_lock_decides(booking: Database) -> None:
    for _ in range(ROUNDS):
        request = await confirmed(booking)
        assert request.proposals_expire_at
        it_is(request.proposals_expire_at)
        last_second = AgreeToProposal(
            tailored_request_id=request.tailored_request_id,
            proposal_id=request.proposals[0].proposal_id,
            at=request.proposals_expire_at - timedelta(seconds=1),
        )

        agreement, fired = await gather(ask(booking, last_second, OPERATOR), timers_fire(booking), return_exceptions=True)

        assert isinstance(fired, int)
        assert isinstance(agreement, TailoredRequest | Refused)
        state, last = (await now_of(booking, request)).state, (await told(booking, request))[-1]
        if isinstance(agreement, Refused):
            assert (state, last) == (RequestState.FRAMING, "expired")
        else:
            assert (state, last) == (RequestState.AGREED, "agreed")


async def test_G5_an_agreement_at_the_deadline_is_late_whoever_comes_first(booking: Database) -> None:
    request = await confirmed(booking)
    assert request.proposals_expire_at
    it_is(request.proposals_expire_at)

    agreement, _ = await gather(take_first(booking, request), timers_fire(booking), return_exceptions=True)

    assert isinstance(agreement, Refused)
    assert (await told(booking, request))[-1] == "expired"


async def test_G5_a_host_who_refuses_while_the_agent_agrees_either_forestalls_or_withdraws(booking: Database) -> None:
    for _ in range(ROUNDS):
        request = await confirmed(booking, a_proposal(), a_proposal(host=None))
        first = request.proposals[0].proposal_id

        agreement, refusal = await gather(
            take_first(booking, request), answer(booking, first, accepts=False), return_exceptions=True
        )  # fmt: skip

        assert isinstance(refusal, TailoredRequest)
        after, facts = await now_of(booking, request), (await told(booking, request))[4:]
        assert after.session_id is None
        assert after.state is RequestState.PROPOSED
        assert isinstance(agreement, TailoredRequest | Refused)
        if isinstance(agreement, Refused):
            assert (facts, after.priority) == (["host_refused"], False)
        else:
            assert (facts, after.priority) == (["agreed", "host_withdrew"], True)


async def test_two_agreements_to_two_dates_make_one(booking: Database) -> None:
    request = await confirmed(booking, a_proposal(), a_proposal(host=None))

    answers = await gather(*(take_first(booking, request) for _ in range(6)), return_exceptions=True)

    assert sum(isinstance(each, TailoredRequest) for each in answers) == 1
    assert (await told(booking, request)).count("agreed") == 1


async def test_of_two_people_who_edit_the_note_one_is_told_and_neither_text_is_lost(booking: Database) -> None:
    request = await framed(booking)

    answers = await gather(
        ask(booking, a_note(request, 1, "de l'agent"), agent(ALICE)),
        *(ask(booking, a_note(request, 1, f"du Lab {number}"), LAB) for number in range(5)),
        return_exceptions=True,
    )

    written = [each for each in answers if isinstance(each, FramingNote)]
    assert [each.version for each in written] == [2]
    assert sum(isinstance(each, FramingNoteConflict) for each in answers) == 5


async def test_the_host_withdraws_while_catalogs_word_arrives(booking: Database) -> None:
    """Whichever is first, no seat is left in a session that is given up, or the fact that gives it up names it."""
    for _ in range(ROUNDS):
        request = await agreed(booking)
        assert request.session_id
        said = catalog_says(request.session_id, starts_at=paris(2027, 4, 8, 14))
        await hear_seats(booking, said)

        await gather(hear(booking, said), answer(booking, request.proposals[0].proposal_id, accepts=False))

        after = await now_of(booking, request)
        assert (after.state, after.session_id) == (RequestState.PROPOSED, None)
        assert (await said_last(booking, request)).session_id == request.session_id
        facts = (await told(booking, request))[5:]
        assert facts in (["host_withdrew"], ["scheduled", "host_withdrew"])
        assert len(await seats_of(booking, request.session_id)) == (len(facts) - 1)
