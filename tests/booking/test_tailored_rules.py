"""G5 on paper: who may do what when, whose turn it is, and by when."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from services.booking.framing.domain import document, template
from services.booking.proposals.domain import (
    HostNotConfirmed,
    PeriodsInvalid,
    ProposalAnswered,
    ProposalExists,
    ProposalExpired,
    ProposalOver,
    ProposalPast,
    ProposalsOpen,
)
from services.booking.requests import domain
from services.booking.requests.domain import PeriodInvalid, TailoredRequestMovedOn
from shared.contracts.catalog import LocalPeriod
from shared.contracts.tailored import ProposalState, RequestState, TailoredRequest
from tests.booking.given import is_holiday, paris
from tests.booking.tailored import ANOTHER_HOST, HOST, MONDAY, a_proposal, an_order

APRIL, MAY = a_proposal(date(2027, 4, 8)), a_proposal(date(2027, 5, 20), ANOTHER_HOST)


def submitted() -> TailoredRequest:
    return domain.submit(an_order(), MONDAY, is_holiday).after


def framing() -> TailoredRequest:
    return domain.frame(submitted(), MONDAY, is_holiday).after


def proposed(*proposals: Any) -> TailoredRequest:
    return domain.propose(framing(), proposals or (APRIL, MAY), MONDAY, is_holiday).after


def confirmed(*proposals: Any) -> TailoredRequest:
    request = proposed(*proposals)
    return domain.host_accepts(request, request.proposals[0], MONDAY).after


def agreed(*proposals: Any) -> TailoredRequest:
    request = confirmed(*proposals)
    return domain.agree(request, request.proposals[0], MONDAY).after


def scheduled(*proposals: Any) -> TailoredRequest:
    request = agreed(*proposals)
    assert request.session_id
    step = domain.session_made(request, request.session_id, paris(2027, 4, 8, 16), MONDAY)
    assert step
    return step.after


# --- the service-level clock ---------------------------------------------------------------------------------------------------------


def test_G5_the_first_answer_is_due_five_working_days_after_the_request() -> None:
    """Thursday 29 April 2027 at 17:00: two hours on Thursday and eleven on Friday, then Monday to Wednesday, Ascension, and Friday."""
    request = domain.submit(an_order(), paris(2027, 4, 29, 17), is_holiday).after

    assert request.answer_due_at == paris(2027, 5, 7, 17)


def test_G5_the_clock_is_read_when_the_request_is_shown() -> None:
    request = submitted()
    assert request.answer_due_at

    assert not domain.shown(request, request.answer_due_at - timedelta(seconds=1)).overdue
    assert domain.shown(request, request.answer_due_at).overdue


def test_G5_a_request_that_sits_in_framing_is_overdue_after_five_working_days_too() -> None:
    stuck = domain.frame(submitted(), MONDAY, is_holiday).after

    assert domain.shown(stuck, MONDAY + timedelta(days=12)).overdue


def test_G5_the_clock_stops_while_the_lab_waits_for_others() -> None:
    assert proposed().answer_due_at is None
    assert scheduled().answer_due_at is None


def test_G5_an_alarm_leaves_the_due_date_where_it_was() -> None:
    request = submitted()
    assert request.answer_due_at
    assert domain.alarm(request, request.answer_due_at - timedelta(seconds=1)) is None

    step = domain.alarm(request, request.answer_due_at)

    assert step
    assert step.after.answer_due_at == request.answer_due_at
    assert step.after.state is RequestState.SUBMITTED


# --- proposals -----------------------------------------------------------------------------------------------------------------------


def test_G5_proposals_are_good_for_ten_working_days() -> None:
    """From Monday 1 March 2027 at 09:00 to Monday 15 March at 09:00."""
    assert proposed().proposals_expire_at == paris(2027, 3, 15, 9)


def test_G5_proposals_that_expire_go_back_to_framing_and_free_their_hosts() -> None:
    request = confirmed()
    assert request.proposals_expire_at
    assert domain.expire(request, request.proposals_expire_at - timedelta(seconds=1), is_holiday) is None

    step = domain.expire(request, request.proposals_expire_at, is_holiday)

    assert step
    assert step.after.state is RequestState.FRAMING
    assert {each.state for each in step.after.proposals} == {ProposalState.CLOSED}
    assert {each.host_contact_id for each in step.fact.released} == {HOST, ANOTHER_HOST}
    assert step.after.answer_due_at == paris(2027, 3, 22, 9)


def test_a_date_without_a_host_to_ask_is_ready_at_once() -> None:
    assert [each.state for each in proposed(APRIL, a_proposal(host=None)).proposals] == [ProposalState.ASKED, ProposalState.READY]


def test_dates_are_not_proposed_over_others_that_are_still_open() -> None:
    with pytest.raises(ProposalsOpen):
        domain.propose(proposed(), (APRIL,), MONDAY, is_holiday)


def test_a_past_date_an_unknown_zone_and_an_end_before_its_start_are_not_proposed() -> None:
    first = APRIL.periods[0]
    backwards = LocalPeriod(local_start=first.local_end, local_end=first.local_start)
    for wrong, refusal in (
        (a_proposal(date(2027, 2, 1)), ProposalPast),
        (a_proposal(periods=(first.model_copy(update={"zone": "Europe"}),)), PeriodsInvalid),
        (a_proposal(periods=(backwards,)), PeriodsInvalid),
    ):
        with pytest.raises(refusal):
            domain.propose(framing(), (wrong,), MONDAY, is_holiday)


def test_one_proposal_is_not_made_twice_in_a_round() -> None:
    with pytest.raises(ProposalExists):
        domain.propose(framing(), (APRIL, APRIL), MONDAY, is_holiday)


# --- the host ------------------------------------------------------------------------------------------------------------------------


def test_G5_a_host_confirms_once() -> None:
    request = confirmed()

    assert request.proposals[0].state is ProposalState.READY
    with pytest.raises(ProposalAnswered):
        domain.host_accepts(request, request.proposals[0], MONDAY)


def test_G5_a_host_who_answers_too_late_is_told_so_before_the_timer_came_by() -> None:
    request = proposed()
    assert request.proposals_expire_at

    with pytest.raises(ProposalExpired):
        domain.host_accepts(request, request.proposals[0], request.proposals_expire_at)
    with pytest.raises(ProposalExpired):
        domain.host_refuses(request, request.proposals[0], request.proposals_expire_at, is_holiday)


def test_G5_the_request_goes_back_to_framing_with_the_last_host_who_cannot() -> None:
    request = proposed()

    one_left = domain.host_refuses(request, request.proposals[0], MONDAY, is_holiday).after
    none_left = domain.host_refuses(one_left, one_left.proposals[1], MONDAY, is_holiday).after

    assert (one_left.state, none_left.state) == (RequestState.PROPOSED, RequestState.FRAMING)
    assert none_left.answer_due_at is not None
    assert none_left.version == one_left.version + 1


def test_G5_a_host_who_withdraws_after_the_agreement_reopens_proposed_with_priority() -> None:
    request = scheduled()

    step = domain.host_refuses(request, request.proposals[0], MONDAY, is_holiday)

    assert type(step.fact).__name__ == "TailoredRequestHostWithdrew"
    assert (step.after.state, step.after.priority) == (RequestState.PROPOSED, True)
    assert step.fact.model_dump()["session_id"] == request.session_id
    assert step.after.session_id is None
    assert step.after.answer_due_at is not None  # no other date was left: the lab's turn
    assert domain.propose(step.after, (a_proposal(),), MONDAY, is_holiday).after.priority


def test_G5_a_withdrawal_before_the_session_was_made_leaves_the_other_dates_open() -> None:
    request = agreed()

    after = domain.host_refuses(request, request.proposals[0], MONDAY, is_holiday).after

    assert [each.state for each in after.proposals] == [ProposalState.WITHDRAWN, ProposalState.ASKED]
    assert (after.answer_due_at, after.proposals_expire_at) == (None, paris(2027, 3, 15, 9))


def test_a_host_cannot_withdraw_once_the_session_has_begun() -> None:
    request = scheduled()

    with pytest.raises(ProposalOver):
        domain.host_refuses(request, request.proposals[0], paris(2027, 4, 8, 14), is_holiday)


# --- the agreement -------------------------------------------------------------------------------------------------------------------


def test_G5_an_agent_agrees_to_a_date_that_its_host_confirmed_and_to_no_other() -> None:
    request = confirmed()

    with pytest.raises(HostNotConfirmed):
        domain.agree(request, request.proposals[1], MONDAY)
    assert domain.agree(request, request.proposals[0], MONDAY).after.state is RequestState.AGREED


def test_an_agent_does_not_agree_late_nor_to_a_date_that_has_passed_nor_twice() -> None:
    request = confirmed(a_proposal(date(2027, 3, 3)))
    first = request.proposals[0]
    assert request.proposals_expire_at

    with pytest.raises(ProposalExpired):
        domain.agree(request, first, request.proposals_expire_at)
    with pytest.raises(ProposalPast):
        domain.agree(request, first, paris(2027, 3, 3, 14))
    after = domain.agree(request, first, MONDAY).after
    with pytest.raises(TailoredRequestMovedOn):
        domain.agree(after, after.proposals[0], MONDAY)


def test_each_agreement_asks_for_a_session_of_its_own() -> None:
    request = agreed(APRIL)
    lost = domain.host_refuses(request, request.proposals[0], MONDAY, is_holiday).after
    again = domain.propose(lost, (a_proposal(host=None),), MONDAY, is_holiday).after

    assert domain.agree(again, again.proposals[0], MONDAY).after.session_id != request.session_id


def test_the_other_hosts_are_freed_when_the_session_is_there_and_not_before() -> None:
    request = agreed()
    assert request.session_id

    step = domain.session_made(request, request.session_id, paris(2027, 4, 8, 16), MONDAY)

    assert [each.state for each in request.proposals] == [ProposalState.READY, ProposalState.ASKED]
    assert step
    assert [each.host_contact_id for each in step.fact.released] == [ANOTHER_HOST]


def test_catalogs_refusal_goes_back_to_the_dates_that_are_left_or_to_framing() -> None:
    for request, state in ((agreed(), RequestState.PROPOSED), (agreed(APRIL), RequestState.FRAMING)):
        assert request.session_id
        step = domain.session_lost(request, request.session_id, "venue_taken", "Le lieu est pris.", MONDAY, is_holiday, priority=False)
        assert step
        assert (step.after.state, step.after.reason) == (state, "Le lieu est pris.")
        assert step.after.proposals[0].state is ProposalState.IMPOSSIBLE
        assert [each.host_contact_id for each in step.fact.released] == [HOST]


def test_a_session_that_no_agreement_waits_for_changes_nothing() -> None:
    request = agreed()
    other = agreed(a_proposal()).session_id
    assert other

    assert domain.session_made(request, other, MONDAY, MONDAY) is None
    assert domain.session_lost(request, other, "venue_taken", "", MONDAY, is_holiday, priority=False) is None


# --- the end -------------------------------------------------------------------------------------------------------------------------


def test_a_request_is_held_when_its_session_is_over_and_closes_ten_working_days_later() -> None:
    request = scheduled()

    assert domain.hold(request, paris(2027, 4, 8, 15), is_holiday) is None
    step = domain.hold(request, paris(2027, 4, 8, 16), is_holiday)

    assert step
    assert (step.after.state, step.after.closes_at) == (RequestState.HELD, paris(2027, 4, 22, 16))
    assert domain.close(step.after, paris(2027, 4, 22, 16)).after.state is RequestState.CLOSED


def test_the_lab_declines_until_a_date_is_agreed() -> None:
    for request in (submitted(), framing(), proposed()):
        after = domain.decline(request, "Hors de nos missions.", "Voyez la formation du 18 mars.", MONDAY).after
        assert (after.state, after.answer_due_at, after.proposals_expire_at) == (RequestState.DECLINED, None, None)
    with pytest.raises(TailoredRequestMovedOn):
        domain.decline(agreed(), "Hors de nos missions.", "Voyez ailleurs.", MONDAY)


def test_an_agent_withdraws_until_it_is_held_and_the_session_goes_with_the_request() -> None:
    for request in (submitted(), framing(), proposed(), agreed(), scheduled()):
        step = domain.withdraw(request, MONDAY)
        assert step.after.state is RequestState.WITHDRAWN
        assert step.fact.model_dump()["session_id"] == request.session_id
    assert [each.host_contact_id for each in domain.withdraw(scheduled(), MONDAY).fact.released] == [HOST]


def test_a_period_that_has_passed_or_ends_before_it_starts_is_not_asked_for() -> None:
    for earliest, latest in ((date(2027, 5, 1), date(2027, 4, 1)), (date(2027, 1, 1), date(2027, 2, 1))):
        with pytest.raises(PeriodInvalid):
            domain.submit(an_order(earliest=earliest, latest=latest), MONDAY, is_holiday)


# --- the framing note ----------------------------------------------------------------------------------------------------------------


def test_the_note_starts_from_what_was_asked_and_becomes_a_document() -> None:
    note = template(framing(), "somebody", MONDAY)
    written = note.model_copy(update={"version": 2, "deliverables": "# Un titre\n\nTrois décisions", "decision_rights": "  "})

    text = document(framing(), written).markdown

    assert text.startswith("# Note de cadrage · Labtour\n\nVersion 2 du 1er mars 2027 · prefecture-66\n\n## Objectif\n")
    assert "Souhait exprimé : Voir comment un lieu essaie avant de décider." in text
    assert "## Qui décide de quoi\n\nÀ préciser.\n\n## Participants\n\n6 personnes." in text
    assert "\n\\# Un titre\n\nTrois décisions\n" in text
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# Note de cadrage · Labtour",
        "## Objectif",
        "## Qui décide de quoi",
        "## Participants",
        "## Ce qui doit en sortir",
        "## Contraintes",
    ]
