"""Groups through the API, and the page of a group that the links of its contact's mails lead to (G1-G4, W6, K5, P4)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from markupsafe import escape
from pydantic import SecretStr

from deploy.agents import Agent
from services.booking.seats.refusals import BookingNotActive
from services.gateway.portal import wording
from shared import clock
from shared.contracts.catalog import ActivityType
from shared.contracts.groups import BookGroup, GetGroup, GroupBooking
from shared.contracts.names import NameSeats
from shared.links import Link, Purpose
from tests.conftest import eventually
from tests.gateway.conftest import ALICE, BOB, OPERATOR, OTHERS, House, add_session
from tests.gateway.given import refusal
from tests.gateway.test_answers import book

SECRET = SecretStr("what notify and the gateway share")


@pytest.fixture
async def open_house(house: House) -> House:
    await house.start("catalog", "booking", "projects")
    await house.register(ALICE, BOB)
    return house


async def given_offer(house: House) -> GroupBooking:
    """Alice's group of 4 on a private visit with 2 seats left, in the last week: they are offered at once."""
    session_id = await add_session(house, capacity=3, days=5, activity_type=ActivityType.LABTOUR, private=True)
    await book(house, session_id, BOB.agent_id)
    order = BookGroup(session_id=session_id, contact_agent_id=ALICE.agent_id, seats_needed=4)
    group = await house.bus.ask(order, OPERATOR)
    assert group.offer is not None
    return await now_of(house, group)


async def now_of(house: House, group: GroupBooking) -> GroupBooking:
    return await house.bus.ask(GetGroup(group_id=group.group_id), OPERATOR)


def address(group: GroupBooking, purpose: Purpose, agent_id: UUID = ALICE.agent_id) -> str:
    until = group.offer.deadline if group.offer else clock.now() + timedelta(days=9)
    return f"/groupe/{Link(purpose, group.group_id, agent_id, until).sign(SECRET)}"


async def test_W6_a_part_is_taken_by_a_link_whose_opening_changes_nothing(open_house: House) -> None:
    group = await given_offer(open_house)
    anybody = open_house.browser()
    take, leave, see = (address(group, each) for each in (Purpose.TAKE_PART, Purpose.LEAVE_PART, Purpose.SEE_GROUP))

    for link, button in ((take, "Oui, le groupe les prend"), (leave, "Oui, le groupe les laisse"), (see, None)):
        page = await anybody.get(link)
        assert (page.status_code, page.headers["cache-control"]) == (200, "no-store")
        assert "2 places sur les 4" in page.text or button is None
        assert button is None or button in page.text
        assert "<script" not in page.text
    assert (await anybody.post(see, data={})).status_code == 422, "it takes names, not seats"
    assert await now_of(open_house, group) == group

    done = await anybody.post(take)
    assert done.status_code == 200
    assert "2 places au groupe. Le groupe garde son rang pour les autres." in done.text
    after = await now_of(open_house, group)
    assert (after.state, after.seats_unnamed, after.seats_awaited) == ("partly_confirmed", 2, 2)
    for link in (take, leave):
        again = await anybody.post(link)
        assert again.status_code == 404
        assert "Aucune proposition" in again.text
    assert await now_of(open_house, group) == after


async def test_W6_a_part_that_is_left_is_logged_on_the_groups_page(open_house: House) -> None:
    group = await given_offer(open_house)
    anybody = open_house.browser()

    assert "le groupe garde son rang" in (await anybody.post(address(group, Purpose.LEAVE_PART))).text
    page = (await anybody.get(address(group, Purpose.SEE_GROUP))).text

    assert "2 places laissées aux suivants le" in page
    assert "En attente : 4 places, au rang 1 sur 1." in page


async def test_K5_links_of_groups_and_of_bookings_are_not_each_others_and_bound_to_the_contact(open_house: House) -> None:
    group = await given_offer(open_house)
    anybody = open_house.browser()
    take = address(group, Purpose.TAKE_PART)

    for wrong in (take.replace("/groupe/", "/reponse/"), address(group, Purpose.ACCEPT_OFFER), take[:-3] + "AAA"):
        for method in ("GET", "POST"):
            assert (await anybody.request(method, wrong)).status_code == 404
    assert (await anybody.post(address(group, Purpose.TAKE_PART, BOB.agent_id))).status_code == 404
    assert await now_of(open_house, group) == group


async def test_the_api_books_resizes_and_cancels_a_group_of_who_signs_in(open_house: House) -> None:
    session_id = await add_session(open_house, capacity=12)
    await book(open_house, session_id, BOB.agent_id)
    alice, bob = await open_house.script(ALICE), await open_house.script(BOB)
    groups = f"/api/v1/sessions/{session_id}/groups"

    large = await alice.post(groups, json={"seats_needed": 7})
    assert (refusal(large), large.json()["most"]) == ((409, "group_too_large"), 6)
    made = await alice.post(groups, json={"seats_needed": 5}, headers={"Idempotency-Key": "once"})
    again = await alice.post(groups, json={"seats_needed": 5}, headers={"Idempotency-Key": "once"})
    assert made.status_code == 201
    assert again.json() == made.json()
    group = made.json()
    assert (group["state"], group["choice"], group["seats_unnamed"]) == ("confirmed", "all_or_nothing", 5)

    where = made.headers["location"]
    assert (await alice.get(where)).json() == group
    assert (await bob.get(where)).status_code == 404
    assert (await alice.get("/api/v1/me/groups")).json() == {"groups": [group]}
    stale = await alice.post(f"{where}/resize", json={"seats_needed": 4}, headers={"If-Match": '"9"'})
    assert stale.status_code == 412
    smaller = await alice.post(f"{where}/resize", json={"seats_needed": 4}, headers={"If-Match": made.headers["etag"]})
    assert (smaller.status_code, smaller.json()["seats_unnamed"]) == (200, 4)
    assert (await alice.post(f"{where}/offer/accept")).status_code == 404
    assert (await alice.post(f"{where}/cancel")).json()["state"] == "cancelled"
    assert refusal(await alice.post(f"{where}/cancel")) == (409, "group_not_active")
    for wrong in ({"seats_needed": 1}, {"seats_needed": 3, "choice": "some"}, {"seats_needed": 3, "names": []}, {}):
        assert (await alice.post(groups, json=wrong)).status_code == 422
    assert (await alice.post(f"/api/v1/sessions/{uuid4()}/groups", json={"seats_needed": 3})).status_code == 404
    assert (await open_house.browser().post(groups, json={"seats_needed": 3})).status_code in {401, 403}


COLLEAGUES = [each for each in OTHERS if each.org_unit == ALICE.org_unit]
STRANGER = next(each for each in OTHERS if each.org_unit != ALICE.org_unit)


async def given_seats(house: House, seats: int = 3) -> GroupBooking:
    """Alice's group, with as many seats without a name; her colleagues are known, by booking too."""
    await house.register(*COLLEAGUES[:3], STRANGER)
    session_id = await add_session(house, capacity=12, days=30)
    alice = await house.script(ALICE)

    async def made() -> bool:
        return (await alice.post(f"/api/v1/sessions/{session_id}/groups", json={"seats_needed": seats})).status_code == 201

    await eventually(made)  # once booking has heard of the session
    (group,) = (await alice.get("/api/v1/me/groups")).json()["groups"]
    return GroupBooking.model_validate(group)


def lines(*agents: Agent) -> dict[str, str]:
    return {"adresses": "\r\n".join(agent.email for agent in agents)}


async def test_G2_the_contact_names_and_replaces_colleagues_and_learns_of_nobody_elsewhere(open_house: House) -> None:
    where = f"/api/v1/groups/{(await given_seats(open_house)).group_id}"
    colleague, other, *_ = COLLEAGUES
    alice, bob = await open_house.script(ALICE), await open_house.script(BOB)
    made = await alice.get(where)

    for wrong in ([STRANGER.email], [colleague.email, "personne@exemple.invalid"]):
        assert refusal(await alice.post(f"{where}/names", json={"agent_emails": wrong})) == (404, "agent_unknown")
    assert refusal(await bob.post(f"{where}/names", json={"agent_emails": [BOB.email]})) == (404, "group_unknown")
    named = await alice.post(f"{where}/names", json={"agent_emails": [colleague.email]}, headers={"If-Match": made.headers["etag"]})

    assert named.status_code == 200
    (member,) = named.json()["members"]
    assert (named.json()["seats_unnamed"], member["agent_id"]) == (2, str(colleague.agent_id))
    transfer = f"{where}/members/{member['booking_id']}/transfer"
    assert refusal(await bob.post(transfer, json={"agent_email": BOB.email})) == (404, "group_unknown")

    async def passed_on() -> bool:
        answer = await alice.post(transfer, json={"agent_email": other.email})
        return answer.status_code == 200 and answer.json()["agent_id"] == str(other.agent_id)

    await eventually(passed_on)  # once booking has heard where they work
    assert refusal(await alice.post(transfer, json={"agent_email": colleague.email})) == (409, "booking_not_active")
    (member,) = (await alice.get(where)).json()["members"]
    assert member["agent_id"] == str(other.agent_id)


# --- the page: who comes --------------------------------------------------------------------------------------------------------------


async def test_G2_the_contact_names_who_comes_by_a_link_whose_opening_changes_nothing(open_house: House) -> None:
    group = await given_seats(open_house)
    anybody, link = open_house.browser(), address(group, Purpose.SEE_GROUP)
    one, other, *_ = COLLEAGUES
    assert group.names_due_at

    for _ in range(3):  # a scanner, a preview, the person
        page = await anybody.get(link)
        assert (page.status_code, page.headers["cache-control"]) == (200, "no-store")
        assert "3 places sans nom" in page.text
        assert wording.instant(group.names_due_at) in page.text
        assert "<script" not in page.text
    assert await now_of(open_house, group) == group

    done, *twins = await asyncio.gather(*(anybody.post(link, data=lines(one, other)) for _ in range(3)))
    assert {answer.status_code for answer in (done, *twins)} == {200}
    assert "chaque personne nommée reçoit sa confirmation" in done.text
    assert "1 place sans nom" in done.text
    after = await now_of(open_house, group)
    assert (after.seats_unnamed, {each.agent_id for each in after.members}) == (1, {one.agent_id, other.agent_id})

    again = await anybody.post(link, data=lines(one, other))
    assert (again.status_code, await now_of(open_house, group)) == (200, after), "it is said once, however often it is sent"
    shown = (await anybody.get(link)).text
    assert all(f"{agent.usual_name} {agent.given_name}" in shown for agent in (one, other))


async def test_G2_what_is_wrong_is_said_beside_the_field_which_keeps_what_was_written_and_nobody_is_named(open_house: House) -> None:
    group = await given_seats(open_house, 2)
    anybody, link = open_house.browser(), address(group, Purpose.SEE_GROUP)
    one, other, third, *_ = COLLEAGUES
    typo = "personne<b>@exemple.invalid"

    for sent, status, code, said in (
        ({}, 422, "names_missing", "Écrivez au moins une adresse."),
        ({"adresses": " ,; \n"}, 422, "names_missing", "Écrivez au moins une adresse."),
        ({"adresses": f"{one.email}\n{typo}"}, 404, "agent_unknown", "personne&lt;b&gt;@exemple.invalid : personne de votre"),
        (lines(one, STRANGER), 404, "agent_unknown", f"{STRANGER.email} : personne de votre administration"),
        (lines(one, other, third), 409, "too_many_names", "plus de noms que de places"),
    ):
        answer = await anybody.post(link, data=sent)
        text = answer.text.replace("\N{NO-BREAK SPACE}", " ")
        assert (answer.status_code, f'data-code="{code}"' in text, said in text) == (status, True, True)
        assert 'aria-invalid="true" aria-describedby="erreur"' in text
        assert escape(sent.get("adresses", "").strip().replace("\r\n", "\n")) in text
        assert "<title>À corriger" in text
    assert STRANGER.usual_name not in text
    assert (await anybody.post(link, data={"adresses": "\n".join(f"{number}@exemple.invalid" for number in range(201))})).status_code == 422
    assert await now_of(open_house, group) == group


async def test_G3_who_is_in_another_group_is_told_by_their_address(open_house: House) -> None:
    group = await given_seats(open_house)
    one, other, *_ = COLLEAGUES
    theirs = await open_house.bus.ask(BookGroup(session_id=group.session_id, contact_agent_id=other.agent_id, seats_needed=2), OPERATOR)
    await open_house.bus.ask(NameSeats(group_id=theirs.group_id, agent_ids=(one.agent_id,)), OPERATOR)

    answer = await open_house.browser().post(address(group, Purpose.SEE_GROUP), data=lines(one, other))

    assert (answer.status_code, 'data-code="named_elsewhere"' in answer.text) == (409, True)
    assert f"{one.email} : Cette personne a déjà une place" in answer.text.replace("\N{NO-BREAK SPACE}", " ")
    assert (await now_of(open_house, group)).members == ()


async def test_G2_a_seat_changes_hands_on_the_page_once_however_often_it_is_confirmed(open_house: House) -> None:
    group = await given_seats(open_house)
    anybody, link = open_house.browser(), address(group, Purpose.SEE_GROUP)
    one, other, third, *_ = COLLEAGUES
    await anybody.post(link, data=lines(one))
    (member,) = (await now_of(open_house, group)).members

    wrong = await anybody.post(link, data={"place": str(member.booking_id), "adresses": STRANGER.email})
    assert (wrong.status_code, "<details open>" in wrong.text, f'value="{STRANGER.email}" aria-invalid="true"' in wrong.text) == (
        404,
        True,
        True,
    )
    order = {"place": str(member.booking_id), "adresses": other.email}

    async def passed_on() -> bool:
        return (await anybody.post(link, data=order)).status_code == 200

    await eventually(passed_on)  # once booking has heard where they work
    twice = await anybody.post(link, data=order)
    assert (twice.status_code, "la place a changé de nom" in twice.text) == (200, True)
    (newcomer,) = (await now_of(open_house, group)).members
    assert newcomer.agent_id == other.agent_id
    late = await anybody.post(link, data=order | {"adresses": third.email})
    assert (late.status_code, "data-code" in late.text) == (409, False), "the seat is not on the page any more"
    assert BookingNotActive.title.replace("'", "’") in late.text.replace("&#39;", "’")


async def test_P4_names_are_for_the_contact_alone_and_for_as_long_as_the_link_lasts(
    open_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = await given_seats(open_house)
    anybody, link = open_house.browser(), address(group, Purpose.SEE_GROUP)
    one, other, *_ = COLLEAGUES
    await anybody.post(link, data=lines(one))
    after = await now_of(open_house, group)

    for foreign in (address(group, Purpose.SEE_GROUP, BOB.agent_id), address(group, Purpose.SEE_GROUP, one.agent_id), link[:-3] + "AAA"):
        for method in ("GET", "POST"):
            refused = await anybody.request(method, foreign, data=lines(other) if method == "POST" else None)
            assert (refused.status_code, one.usual_name in refused.text) == (404, False)
    assert one.usual_name not in (await anybody.get(address(group, Purpose.TAKE_PART))).text
    much_later = clock.now() + timedelta(days=40)
    monkeypatch.setattr(clock, "now", lambda: much_later)
    old = await anybody.get(link)
    assert (old.status_code, one.usual_name in old.text, '<form method="post"' in old.text) == (200, False, False)
    assert (await anybody.post(link, data=lines(other))).status_code == 410
    moved = f"/groupe/{Link(Purpose.SEE_GROUP, group.group_id, ALICE.agent_id, much_later + timedelta(days=1)).sign(SECRET)}"
    begun = await anybody.get(moved)
    assert (one.usual_name in begun.text, '<form method="post"' in begun.text) == (True, False)
    assert (await anybody.post(moved, data=lines(other))).status_code == 409
    assert await now_of(open_house, group) == after
