"""Certificates follow attendance: none before the sheet is closed, reissued when it is corrected, both states kept (A1-A3)."""

from __future__ import annotations

from asyncio import gather
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from services.booking.certificates import handlers
from services.booking.certificates.domain import CertificateUnknown
from services.booking.seats.refusals import BookingUnknown
from shared.contracts.booking import Booking
from shared.contracts.certificates import Certificate, CertificateState, CheckCertificate, GetCertificate, ListCertificates
from shared.database import Database, constraint_of
from shared.errors import NotAllowed
from tests.booking.given import ALICE, BOB, agent, it_is, paris
from tests.booking.given_attendance import EVENING, LAB, enter, given_training, said, scan, sign, timers_fire


async def certificate_of(database: Database, booking: Booking) -> Certificate:
    return await handlers.get_certificate(GetCertificate(booking_id=booking.booking_id), agent(booking.agent_id), database)


async def all_of(database: Database, booking: Booking) -> list[Certificate]:
    request = ListCertificates(agent_id=booking.agent_id)
    return list((await handlers.list_certificates(request, agent(booking.agent_id), database)).certificates)


async def test_A3_nothing_is_issued_before_the_sheet_is_closed_then_who_was_there_has_a_certificate(booking: Database) -> None:
    session_id, (alice, bob) = await given_training(booking, ALICE, BOB)
    it_is(EVENING)
    await scan(booking, alice, scanned_at=EVENING.replace(hour=10))
    await sign(booking, session_id, 1)
    with pytest.raises(CertificateUnknown):
        await certificate_of(booking, alice)

    await sign(booking, session_id, 2)

    (issued,) = await all_of(booking, alice)
    assert issued == await certificate_of(booking, alice)
    assert (issued.complete, [(each.number, each.part) for each in issued.half_days], issued.of) == (False, [(1, "morning")], 2)
    assert (issued.title, issued.place) == ("Le nudge dans les courriers", "À distance")
    assert await all_of(booking, bob) == []
    (event,) = await said(booking, "certificate_issued")
    assert (event["certificate_id"], event["version"], event["replaces"]) == (str(issued.certificate_id), 1, None)


async def test_A2_a_correction_revokes_and_reissues_and_both_public_states_are_kept(booking: Database) -> None:
    session_id, (alice, _) = await given_training(booking, ALICE, BOB)
    it_is(EVENING)
    await enter(booking, alice, 1)
    await sign(booking, session_id, 1, 2)
    first = await certificate_of(booking, alice)

    await enter(booking, alice, 2)
    second = await certificate_of(booking, alice)
    assert second.complete, "suivi complet"
    for half_day in (1, 2):
        await enter(booking, alice, half_day, present=False)

    found = {each.certificate_id: each for each in await all_of(booking, alice)}
    third = next(each for each in found.values() if each.certificate_id not in (first.certificate_id, second.certificate_id))
    assert (found[first.certificate_id].state, found[first.certificate_id].replaced_by) == (
        CertificateState.REISSUED,
        second.certificate_id,
    )
    assert (found[second.certificate_id].state, found[second.certificate_id].replaced_by) == (
        CertificateState.REISSUED,
        third.certificate_id,
    )
    assert (third.state, third.replaced_by) == (CertificateState.REVOKED, None)
    assert found[first.certificate_id].half_days == first.half_days, "what it says never changes"
    with pytest.raises(CertificateUnknown):
        await certificate_of(booking, alice)
    for each in (first, third):
        status = await handlers.check_certificate(CheckCertificate(certificate_id=each.certificate_id), agent(uuid4()), booking)
        assert status.state == found[each.certificate_id].state
        assert "agent_id" not in status.model_dump(), "what anybody may know"
    ended = [(event["certificate_id"], event["version"], event["replaced_by"]) for event in await said(booking, "certificate_revoked")]
    assert ended == [
        (str(first.certificate_id), 2, str(second.certificate_id)),
        (str(second.certificate_id), 2, str(third.certificate_id)),
        (str(third.certificate_id), 2, None),
    ]


async def test_A3_a_sheet_that_was_given_up_certifies_the_half_days_that_were_signed(booking: Database) -> None:
    session_id, (alice, bob) = await given_training(booking, ALICE, BOB)
    it_is(EVENING)
    await enter(booking, alice, 1)
    await enter(booking, bob, 2)
    await sign(booking, session_id, 1)

    it_is(paris(2027, 4, 2, 17, 30))
    await timers_fire(booking)

    assert [each.number for each in (await certificate_of(booking, alice)).half_days] == [1]
    with pytest.raises(CertificateUnknown):
        await certificate_of(booking, bob)


async def test_a_certificate_is_its_agents_own_and_the_labs(booking: Database) -> None:
    session_id, (alice,) = await given_training(booking, ALICE)
    it_is(EVENING)
    await enter(booking, alice, 1)
    await sign(booking, session_id, 1, 2)
    request = GetCertificate(booking_id=alice.booking_id)

    assert await handlers.get_certificate(request, LAB, booking) == await certificate_of(booking, alice)
    for stranger in (agent(BOB), agent(uuid4())):
        with pytest.raises(BookingUnknown):
            await handlers.get_certificate(request, stranger, booking)
        with pytest.raises(NotAllowed):
            await handlers.list_certificates(ListCertificates(agent_id=ALICE), stranger, booking)
    with pytest.raises(CertificateUnknown):
        await handlers.check_certificate(CheckCertificate(certificate_id=uuid4()), agent(BOB), booking)


async def test_A2_corrections_and_readers_at_once_there_is_always_one_valid_certificate(booking: Database) -> None:
    session_id, (alice,) = await given_training(booking, ALICE)
    it_is(EVENING)
    await enter(booking, alice, 1)
    await sign(booking, session_id, 1, 2)

    async def correct() -> None:
        for _ in range(4):
            await enter(booking, alice, 2)
            await enter(booking, alice, 2, present=False)

    async def read() -> list[Certificate]:
        return [await certificate_of(booking, alice) for _ in range(12)]

    _, *seen = await gather(correct(), read(), read())

    kept = {each.certificate_id: each for each in await all_of(booking, alice)}
    assert all(kept[each.certificate_id].half_days == each.half_days for each in seen[0] + seen[1])
    assert [each.state for each in kept.values()].count(CertificateState.VALID) == 1


async def test_A2_the_database_swears_that_a_booking_has_one_valid_certificate(booking: Database) -> None:
    session_id, (alice,) = await given_training(booking, ALICE)
    it_is(EVENING)
    await enter(booking, alice, 1)
    await sign(booking, session_id, 1, 2)

    with pytest.raises(IntegrityError) as twice:
        async with booking.begin() as tx:
            await tx.execute(
                text(
                    'insert into certificate (certificate_id, booking_id, session_id, agent_id, state, title, place, half_days, "of",'
                    ' issued_at, version) select gen_random_uuid(), booking_id, session_id, agent_id, state, title, place, half_days, "of",'
                    " issued_at, 1 from certificate"
                )
            )
    assert constraint_of(twice.value) == "certificate_one_valid"
