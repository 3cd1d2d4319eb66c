"""What people do in the portal, with nothing but links and forms: no JavaScript."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from services.gateway.login import principal
from shared import clock
from shared.contracts.catalog import ActivityType, CancelSession, DeliveryMode
from shared.contracts.projects import DecideApplication, StartEngagement
from tests.gateway.conftest import ALICE, BOB, COACH, OPERATOR, House, IdentityProvider, add_session, sign_in

Eventually = Callable[..., Awaitable[Any]]


@pytest.fixture
async def portal(house: House, identity: IdentityProvider) -> House:
    await house.start("catalog", "booking", "projects")
    await house.register(ALICE, BOB, COACH)
    return house


async def shown(house: House, eventually: Eventually, **changed: Any) -> UUID:
    """A session that the portal shows, and that booking knows."""
    session_id = await add_session(house, **changed)
    anybody = house.browser()

    async def there() -> bool:
        page = await anybody.get("/", params={"places": "toutes"})
        async with house.database.connect():
            return str(session_id) in page.text

    await eventually(there)
    return session_id


async def visitor(house: House, agent: Any) -> httpx2.AsyncClient:
    browser = house.browser()
    assert (await sign_in(browser, agent)).status_code == 303
    await browser.get("/")  # reads the greeting
    return browser


def hidden(page: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page))


async def press(browser: httpx2.AsyncClient, session_id: UUID) -> httpx2.Response:
    """The button of a session's page; again while booking has not heard of the session (E1)."""
    for _ in range(50):
        page = await browser.get(f"/seances/{session_id}")
        answer = await browser.post(f"/seances/{session_id}/inscription", data=hidden(page.text))
        if answer.status_code != 409 or "pas encore ouverte" not in answer.text:
            return answer
        await asyncio.sleep(0.05)
    raise AssertionError("booking never heard of the session")


def said(page: str) -> str:
    """The sentences at the top of a page."""
    return " ".join(re.findall(r'<p class="flash [a-z]+">.*?<span>(.*?)</span></p>', page))


# --- the programme ----------------------------------------------------------------------------------------------------------------------


async def test_the_programme_can_be_read_and_filtered_without_signing_in(portal: House, eventually: Eventually) -> None:
    await shown(portal, eventually, title="Jurys citoyens", activity_type=ActivityType.INNOVATION_THURSDAY, city="Nîmes", department="30")
    await shown(portal, eventually, title="Pitcher en 5 minutes", delivery_mode=DeliveryMode.IN_PERSON)
    anybody = portal.browser()

    everything = (await anybody.get("/")).text
    talks = (
        await anybody.get("/", params={"type": "innovation_thursday", "q": "NIMES jurys", "departement": "30", "mode": "in_person"})
    ).text
    nothing = (await anybody.get("/", params={"q": "introuvable"})).text
    nonsense = await anybody.get("/", params={"type": "x", "mode": "'", "departement": "99", "places": "?", "q": "%", "suite": "zz"})

    assert "Jurys citoyens" in everything
    assert "Pitcher en 5 minutes" in everything
    assert "12 places restantes" in everything
    assert "Jurys citoyens" in talks
    assert "Pitcher en 5 minutes" not in talks
    assert "Aucune séance à venir ne correspond" in nothing
    assert nonsense.status_code == 303


async def test_full_sessions_wait_behind_one_link(portal: House, eventually: Eventually) -> None:
    full = await shown(portal, eventually, capacity=1, title="Séance très demandée")
    cancelled = await shown(portal, eventually, title="Séance du jeudi")
    assert (await press(await visitor(portal, ALICE), full)).status_code == 303
    await portal.bus.ask(CancelSession(session_id=cancelled, reason="Grève des transports"), OPERATOR)
    anybody = portal.browser()

    async def hidden_by_default() -> bool:
        page = (await anybody.get("/")).text
        return "2 séances complètes ou annulées ne sont pas affichées" in page and "Séance très demandée" not in page

    await eventually(hidden_by_default)
    everything = (await anybody.get("/", params={"places": "toutes"})).text
    assert "complet, liste d’attente ouverte" in everything
    assert "séance annulée" in everything


async def test_a_session_says_what_where_and_when(portal: House, eventually: Eventually) -> None:
    session_id = await shown(portal, eventually)

    page = (await portal.browser().get(f"/seances/{session_id}")).text

    for words in ("<h1>Pitcher en 5 minutes</h1>", "de 14 h à 17 h", "12 rue des Ateliers", "Haute-Garonne (31)", "Accès de plain-pied"):
        assert words in page
    assert f"/connexion?suite=/seances/{session_id}" in page
    assert "Se connecter pour s’inscrire" in page


async def test_a_session_that_does_not_exist_is_a_friendly_404(portal: House) -> None:
    anybody = portal.browser()

    for path in (f"/seances/{uuid4()}", "/seances/12", "/nowhere", "/static/none.css"):
        page = await anybody.get(path)
        assert page.status_code == 404
        assert "Page introuvable" in page.text
        assert '<a class="button second" href="/">' in page.text


# --- booking ----------------------------------------------------------------------------------------------------------------------------


async def test_booking_is_one_button_and_says_that_the_mail_follows(portal: House, eventually: Eventually) -> None:
    session_id = await shown(portal, eventually)
    alice = await visitor(portal, ALICE)

    answer = await press(alice, session_id)
    page = (await alice.get(answer.headers["location"])).text

    assert answer.status_code == 303
    assert said(page) == "Votre place est confirmée. Confirmation enregistrée, courriel à suivre."  # E7
    assert "place confirmée" in page
    assert "11 places restantes" in page
    assert said((await alice.get(f"/seances/{session_id}")).text) == ""  # said once
    assert "Pitcher en 5 minutes" in (await alice.get("/mes-inscriptions")).text


async def test_a_double_click_books_once(portal: House, eventually: Eventually) -> None:
    session_id = await shown(portal, eventually)
    alice = await visitor(portal, ALICE)
    await press(await visitor(portal, BOB), session_id)
    fields = hidden((await alice.get(f"/seances/{session_id}")).text)

    answers = await asyncio.gather(*(alice.post(f"/seances/{session_id}/inscription", data=fields) for _ in range(3)))

    assert {answer.status_code for answer in answers} == {303}
    assert "10 places restantes" in (await alice.get(f"/seances/{session_id}")).text


async def test_W5_whoever_waits_sees_their_rank_and_why_they_got_a_seat(portal: House, eventually: Eventually) -> None:
    session_id = await shown(portal, eventually, capacity=1, activity_type=ActivityType.INNOVATION_THURSDAY)
    alice, bob = await visitor(portal, ALICE), await visitor(portal, BOB)
    await press(alice, session_id)
    assert "Rejoindre la liste d’attente" in (await bob.get(f"/seances/{session_id}")).text

    joined = await press(bob, session_id)

    assert "en liste d’attente, au rang 1" in said((await bob.get(joined.headers["location"])).text)
    mine = (await bob.get("/mes-inscriptions")).text
    assert "au rang 1" in mine
    assert "la prochaine place rendue est pour vous" in mine
    await give_back(alice)
    promoted = (await bob.get("/mes-inscriptions")).text
    assert "Place confirmée" in promoted
    assert "Place obtenue depuis la liste d’attente : rang 1, place libérée le" in promoted


async def give_back(browser: httpx2.AsyncClient) -> httpx2.Response:
    link = re.findall(r'href="(/mes-inscriptions/[\w-]+/annuler)"', (await browser.get("/mes-inscriptions")).text)[0]
    return await browser.post(link, data=hidden((await browser.get(link)).text))


async def test_giving_a_seat_back_is_asked_first(portal: House, eventually: Eventually) -> None:
    session_id = await shown(portal, eventually)
    alice = await visitor(portal, ALICE)
    await press(alice, session_id)
    link = re.findall(r'href="(/mes-inscriptions/[\w-]+/annuler)"', (await alice.get(f"/seances/{session_id}")).text)[0]

    asked = (await alice.get(link)).text
    still = (await alice.get("/mes-inscriptions")).text
    done = await alice.post(link, data=hidden(asked))

    assert "Rendre votre place ?" in asked
    assert "Place confirmée" in still
    assert (done.status_code, done.headers["location"]) == (303, "/mes-inscriptions")
    after = (await alice.get("/mes-inscriptions")).text
    assert "Votre place est rendue" in said(after)
    assert "Annulée par vous" in after
    assert "Inscription terminée" in (await alice.get(link)).text


async def test_a_cancellation_that_was_overtaken_asks_again(portal: House, eventually: Eventually) -> None:
    session_id = await shown(portal, eventually, capacity=1, activity_type=ActivityType.INNOVATION_THURSDAY)
    alice, bob = await visitor(portal, ALICE), await visitor(portal, BOB)
    await press(alice, session_id)
    await press(bob, session_id)
    link = re.findall(r'href="(/mes-inscriptions/[\w-]+/annuler)"', (await bob.get("/mes-inscriptions")).text)[0]
    asked = (await bob.get(link)).text
    await give_back(alice)

    answer = await bob.post(link, data=hidden(asked))

    assert answer.status_code == 412
    assert "Rendre votre place ?" in answer.text
    assert "a changé entre-temps" in said(answer.text)


async def test_a_refusal_is_said_in_place(portal: House, eventually: Eventually) -> None:
    session_id = await shown(portal, eventually)
    alice = await visitor(portal, ALICE)
    before = hidden((await alice.get(f"/seances/{session_id}")).text)
    await press(alice, session_id)

    again = await alice.post(f"/seances/{session_id}/inscription", data=before | {"cle": "another"})

    assert again.status_code == 409
    assert "<h1>Pitcher en 5 minutes</h1>" in again.text
    assert "Vous avez déjà une place" in said(again.text)


async def test_another_agents_booking_is_unknown(portal: House, eventually: Eventually) -> None:
    session_id = await shown(portal, eventually)
    alice, bob = await visitor(portal, ALICE), await visitor(portal, BOB)
    await press(alice, session_id)
    link = re.findall(r'href="(/mes-inscriptions/[\w-]+/annuler)"', (await alice.get("/mes-inscriptions")).text)[0]

    assert (await bob.get(link)).status_code == 404
    assert (await bob.post(link, data={})).status_code == 404
    assert (await bob.get("/mes-inscriptions/12/annuler")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "back"),
    [
        ("GET", "/mes-inscriptions", "/mes-inscriptions"),
        ("GET", "/mon-projet", "/mon-projet"),
        ("POST", f"/seances/{UUID(int=1)}/inscription", f"/seances/{UUID(int=1)}"),
        ("POST", f"/mes-inscriptions/{UUID(int=1)}/annuler", f"/mes-inscriptions/{UUID(int=1)}/annuler"),
        ("POST", "/mon-projet/candidature", "/mon-projet"),
        ("POST", f"/mon-projet/{UUID(int=1)}/journal", "/mon-projet"),
    ],
)
async def test_whoever_must_sign_in_first_is_led_back(house: House, method: str, path: str, back: str) -> None:
    answer = await house.browser().request(method, path)

    assert (answer.status_code, answer.headers["location"]) == (303, f"/connexion?suite={back}")


# --- projects ---------------------------------------------------------------------------------------------------------------------------


def operator_of(agent: Any) -> principal.Caller:
    return principal.Caller(str(agent.agent_id), frozenset(agent.roles))


async def test_a_project_from_its_application_to_its_logbook(portal: House) -> None:
    alice, coach = await visitor(portal, ALICE), await visitor(portal, COACH)
    form = hidden((await alice.get("/mon-projet")).text)

    sent = await alice.post("/mon-projet/candidature", data=form | {"titre": "Carte des friches", "probleme": "Personne\r\nne sait où."})
    twice = await alice.post("/mon-projet/candidature", data=form | {"titre": "Carte des friches", "probleme": "Personne\r\nne sait où."})
    page = (await alice.get("/mon-projet")).text
    assert (sent.status_code, twice.status_code) == (303, 303)
    assert page.count('<h2 id="candidature-') == 1
    assert "À l’étude" in page
    assert "candidature est enregistrée" in said(page)

    application_id, today = UUID(form["candidature"]), clock.now().date()
    await portal.bus.ask(DecideApplication(application_id=application_id, decision="accepted", reason="Utile à tous."), OPERATOR)
    assert "Acceptée" in (await alice.get("/mon-projet")).text
    engagement_id = uuid4()
    month = (today.month + 3) % 12 + 1
    end = today.replace(year=today.year + (today.month + 3) // 12, month=month, day=1)
    await portal.bus.ask(
        StartEngagement(
            engagement_id=engagement_id, application_id=application_id, coach_id=COACH.agent_id, starts_on=today, planned_end_on=end
        ),
        OPERATOR,
    )
    entry = {"entree": str(uuid4()), "nature": "obstacle", "texte": "Les données <b>manquent</b>."}
    assert (await alice.post(f"/mon-projet/{engagement_id}/journal", data=entry)).status_code == 303
    assert (await alice.post(f"/mon-projet/{engagement_id}/journal", data=entry)).status_code == 303
    seen = (await coach.get("/mon-projet")).text
    assert seen.count("Les données &lt;b&gt;manquent&lt;/b&gt;.") == 1
    assert "Obstacle" in seen
    assert "Vous êtes coach" in seen


async def test_what_was_typed_is_not_lost_when_it_is_refused(portal: House) -> None:
    alice = await visitor(portal, ALICE)
    form = hidden((await alice.get("/mon-projet")).text)

    answer = await alice.post("/mon-projet/candidature", data=form | {"titre": "X", "probleme": "Un long paragraphe « soigné »."})

    assert answer.status_code == 422
    assert "Un long paragraphe « soigné »." in answer.text
    assert "au moins quelques mots" in said(answer.text)


async def test_nobody_writes_in_the_logbook_of_others(portal: House) -> None:
    bob = await visitor(portal, BOB)

    answer = await bob.post(f"/mon-projet/{uuid4()}/journal", data={"entree": str(uuid4()), "texte": "Bonjour à tous"})

    assert answer.status_code == 404
    assert "n&#39;existe pas" in said(answer.text)


@pytest.mark.parametrize("body", [b"titre=%ff", b"\xff", b"a=1&" * 40, b"no form at all"])
async def test_what_is_no_form_is_refused_in_french(portal: House, body: bytes) -> None:
    alice = await visitor(portal, ALICE)

    form = await alice.post("/mon-projet/candidature", content=body, headers={"Content-Type": "application/x-www-form-urlencoded"})
    other = await alice.post("/mon-projet/candidature", json={})

    assert form.status_code in {404, 422}
    assert '<html lang="fr">' in form.text
    assert other.status_code == 415


# --- every page ---------------------------------------------------------------------------------------------------------------------------

TEXTS = ["/plan-du-site", "/accessibilite", "/mentions-legales", "/donnees-personnelles", "/cookies", "/ecoconception"]


@pytest.mark.parametrize("path", ["/", *TEXTS, "/nowhere"])
async def test_every_page_has_one_title_landmarks_a_way_to_the_content_and_the_links_of_S5(house: House, path: str) -> None:
    page = (await house.browser().get(path)).text

    assert page.count("<h1") == 1
    assert '<a class="skip" href="#contenu">' in page
    assert '<main id="contenu"' in page
    assert '<html lang="fr">' in page
    assert "<script" not in page
    assert " style=" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    for text in (
        "Plan du site",
        "Accessibilité : non conforme",
        "Mentions légales",
        "Données personnelles",
        "Gestion des cookies",
        "Code source",
    ):
        assert text in page


async def test_a_demonstration_says_so_with_its_date(house: House) -> None:
    page = (await house.browser().get("/")).text

    assert "<strong>Démonstration</strong>" in page
    assert str(clock.now().astimezone(clock.PARIS).year) in page


async def test_a_persons_pages_are_kept_by_no_cache(house: House, identity: IdentityProvider) -> None:
    assert (await (await visitor(house, ALICE)).get("/")).headers["cache-control"] == "no-store"
    assert "no-cache" in (await house.browser().get("/")).headers["cache-control"]
