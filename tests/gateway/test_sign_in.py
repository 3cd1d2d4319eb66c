"""Signing in through a real provider that checks PKCE, and what keeps others out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from sqlalchemy import text

from services.gateway.login.domain import SignInRefused, safe_next
from services.gateway.login.provider import Provider
from services.gateway.settings import GatewaySettings
from shared.database import Database
from tests.gateway.conftest import ALICE, BOB, House, IdentityProvider, sign_in


async def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    async with database.connect() as connection:
        return [tuple(row) for row in await connection.execute(text(query))]


def cookie(browser: httpx2.AsyncClient) -> str:
    return browser.cookies["labo-session"]


# --- the way in -------------------------------------------------------------------------------------------------------------------------


async def test_a_person_signs_in_and_is_back_where_they_were(house: House, identity: IdentityProvider) -> None:
    browser = house.browser()

    back = await sign_in(browser, ALICE, "/mon-projet?x=1")

    assert (back.status_code, back.headers["location"]) == (303, "/mon-projet?x=1")
    me = (await browser.get("/api/v1/me")).json()
    assert (me["given_name"], me["usual_name"], me["email"]) == (ALICE.given_name, ALICE.usual_name, ALICE.email)


async def test_S1_the_way_to_the_provider_carries_pkce_state_and_nonce(house: House, identity: IdentityProvider) -> None:
    browser = house.browser()

    asked = parse_qs(urlsplit((await browser.get("/connexion")).headers["location"]).query)

    assert asked["code_challenge_method"] == ["S256"]
    assert len(asked["code_challenge"][0]) == 43
    assert min(len(asked["state"][0]), len(asked["nonce"][0])) >= 32
    assert asked["redirect_uri"] == [f"{house.url}/connexion/retour"]
    assert asked["response_type"] == ["code"]


async def test_the_cookie_holds_a_secret_and_the_database_its_hash(house: House, identity: IdentityProvider) -> None:
    browser = house.browser()
    back = await sign_in(browser, ALICE)

    said = next(each for each in back.headers.get_list("set-cookie") if each.startswith("labo-session="))
    assert "HttpOnly" in said
    assert "SameSite=lax" in said
    assert "Path=/" in said
    assert "Domain" not in said
    ((stored, hours),) = await rows(
        house.database,
        "select encode(session_hash, 'hex') || flashes::text, extract(epoch from expires_at - created_at) / 3600 from web_session",
    )
    assert cookie(browser) not in stored
    assert round(hours) == 12


async def test_a_sign_in_never_goes_on_with_a_session_known_before(house: House, identity: IdentityProvider) -> None:
    browser, thief = house.browser(), house.browser()
    await sign_in(browser, ALICE)
    old = cookie(browser)

    await sign_in(browser, BOB)

    assert cookie(browser) != old
    thief.cookies.set("labo-session", old)
    assert (await thief.get("/api/v1/me")).status_code == 401


# --- who stays out ----------------------------------------------------------------------------------------------------------------------


async def test_an_answer_that_this_browser_did_not_ask_for_is_refused(house: House, identity: IdentityProvider) -> None:
    victim, attacker = house.browser(), house.browser()
    to_provider = await attacker.get("/connexion")
    chosen = await attacker.post(to_provider.headers["location"], data={"sub": BOB.sub})

    forged = await victim.get(chosen.headers["location"])

    assert forged.status_code == 400
    assert "cette tentative de connexion a expiré" in forged.text.lower()
    assert (await victim.get("/api/v1/me")).status_code == 401


async def test_an_attempt_serves_once_and_for_ten_minutes(house: House, identity: IdentityProvider) -> None:
    browser = house.browser()
    to_provider = await browser.get("/connexion")
    chosen = await browser.post(to_provider.headers["location"], data={"sub": ALICE.sub})
    waiting = await rows(house.database, "select extract(epoch from expires_at - clock_timestamp()) from login_attempt")
    attempt = browser.cookies["labo-connexion"]

    assert (await browser.get(chosen.headers["location"])).status_code == 303
    browser.cookies.set("labo-connexion", attempt, domain="127.0.0.1")
    assert (await browser.get(chosen.headers["location"])).status_code == 400
    assert 590 < waiting[0][0] <= 600


async def test_an_old_attempt_is_refused(house: House, identity: IdentityProvider) -> None:
    browser = house.browser()
    to_provider = await browser.get("/connexion")
    chosen = await browser.post(to_provider.headers["location"], data={"sub": ALICE.sub})
    async with house.database.begin() as tx:
        await tx.execute(text("update login_attempt set expires_at = clock_timestamp() - interval '1 second'"))

    assert (await browser.get(chosen.headers["location"])).status_code == 400


async def test_whoever_gives_up_at_the_provider_reads_why(house: House, identity: IdentityProvider) -> None:
    browser = house.browser()
    to_provider = await browser.get("/connexion")
    denied = await browser.post(to_provider.headers["location"], data={"action": "deny"})

    back = await browser.get(urlsplit(house.url)._replace(path="/connexion/retour", query=_query(denied, to_provider)).geturl())

    assert back.status_code == 403
    assert "Recommencer la connexion" in back.text


def _query(denied: httpx2.Response, asked: httpx2.Response) -> str:
    """The mock forgets the state when it says no; a provider must not."""
    state = parse_qs(urlsplit(asked.headers["location"]).query)["state"][0]
    return f"{urlsplit(denied.headers['location']).query}&state={state}"


@pytest.mark.parametrize(
    "wanted",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil", "javascript:alert(1)", "/a\r\nb", "", None, "/" + "a" * 600],
)
def test_a_sign_in_leads_nowhere_else(wanted: str | None) -> None:
    assert safe_next(wanted) == "/"


@pytest.mark.parametrize("wanted", ["/", "/mes-inscriptions", "/?q=atelier&places=toutes", "/seances/x#ou"])
def test_a_sign_in_leads_to_any_page_of_ours(wanted: str) -> None:
    assert safe_next(wanted) == wanted


async def test_an_outside_address_is_not_followed_after_a_sign_in(house: House, identity: IdentityProvider) -> None:
    assert (await sign_in(house.browser(), ALICE, "//evil.example/")).headers["location"] == "/"


async def test_another_name_of_this_host_is_led_to_the_one_that_the_provider_knows(house: House) -> None:
    other = house.url.replace("127.0.0.1", "localhost")

    led = await house.browser().get(f"{other}/connexion", params={"suite": "/mon-projet"})

    assert led.status_code == 303
    assert led.headers["location"] == f"{house.url}/connexion?suite=/mon-projet"


async def test_a_session_ends_after_its_time(house: House, identity: IdentityProvider) -> None:
    browser = house.browser()
    await sign_in(browser, ALICE)
    async with house.database.begin() as tx:
        await tx.execute(text("update web_session set expires_at = clock_timestamp()"))

    led = await browser.get("/mes-inscriptions")

    assert led.status_code == 303
    assert led.headers["location"] == "/connexion?suite=/mes-inscriptions"


# --- the way out ------------------------------------------------------------------------------------------------------------------------


async def test_signing_out_ends_our_session_and_leads_the_browser_to_end_the_providers(house: House, identity: IdentityProvider) -> None:
    browser = house.browser()
    await sign_in(browser, ALICE)
    secret = cookie(browser)

    out = await browser.post("/deconnexion")

    asked = parse_qs(urlsplit(out.headers["location"]).query)
    assert out.status_code == 303
    assert out.headers["location"].startswith(f"{house.settings.oidc_issuer}/oauth2/end_session")
    assert asked["id_token_hint"][0].count(".") == 2
    assert asked["post_logout_redirect_uri"] == [f"{house.url}/"]
    browser.cookies.set("labo-session", secret, domain="127.0.0.1")
    assert (await browser.get("/api/v1/me")).status_code == 401


async def test_signing_out_works_with_the_provider_away(house: House, identity: IdentityProvider) -> None:
    browser = house.browser()
    await sign_in(browser, ALICE)
    identity.stop()

    out = await browser.post("/deconnexion")

    assert out.status_code == 303
    assert await rows(house.database, "select count(*) from web_session") == [(0,)]


async def test_with_the_provider_away_people_read_so(house: House) -> None:
    away = await house.browser().get("/connexion")

    assert away.status_code == 503
    assert away.headers["retry-after"]
    assert "le fournisseur d&#39;identité ne répond pas" in away.text
    assert "Traceback" not in away.text


# --- what the provider says ---------------------------------------------------------------------------------------------------------------


def rewrite(identity: IdentityProvider, path: str, change: Callable[[bytes], tuple[bytes, str]]) -> None:
    """From now on one of the provider's answers is another."""
    inner: Any = identity.application.wsgi_app

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != path:
            return inner(environ, start_response)
        told: list[Any] = []
        body, kind = change(b"".join(inner(environ, lambda *said: told.extend(said))))
        headers = [(name, value) for name, value in told[1] if name.lower() not in {"content-length", "content-type"}]
        start_response(told[0], [*headers, ("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body]

    identity.application.wsgi_app = application


def signed(house: House, key: Any, body: bytes, **changed: Any) -> bytes:
    claims = json.loads(body) | {"iss": house.settings.oidc_issuer, "aud": house.settings.oidc_client_id} | changed
    rsa = RSAKey.import_key(key.as_pem(is_private=True))
    return jwt.encode({"alg": "RS256"}, claims, rsa).encode()


async def test_S1_userinfo_may_be_a_signed_token(house: House, identity: IdentityProvider) -> None:
    rewrite(identity, "/userinfo", lambda body: (signed(house, identity.key, body), "application/jwt"))
    browser = house.browser()

    back = await sign_in(browser, ALICE)

    assert back.status_code == 303
    assert (await browser.get("/api/v1/me")).json()["email"] == ALICE.email


@pytest.mark.parametrize("forgery", [{"aud": "somebody-else"}, {"iss": "https://evil.example"}, {"sub": "agent-0007"}])
async def test_a_userinfo_for_somebody_else_is_refused(house: House, identity: IdentityProvider, forgery: dict[str, str]) -> None:
    rewrite(identity, "/userinfo", lambda body: (signed(house, identity.key, body, **forgery), "application/jwt"))

    assert (await sign_in(house.browser(), ALICE)).status_code == 403


async def test_an_id_token_that_another_key_signed_is_refused(house: House, identity: IdentityProvider) -> None:
    def forge(body: bytes) -> tuple[bytes, str]:
        answer = json.loads(body)
        head, claims, _ = answer["id_token"].split(".")
        padded = claims + "=" * (-len(claims) % 4)
        import base64

        answer["id_token"] = jwt.encode({"alg": "RS256"}, json.loads(base64.urlsafe_b64decode(padded)), RSAKey.generate_key(2048))
        assert head
        return json.dumps(answer).encode(), "application/json"

    rewrite(identity, "/oauth2/token", forge)

    assert (await sign_in(house.browser(), ALICE)).status_code == 403


async def test_a_provider_that_names_another_issuer_is_not_trusted(house: House, identity: IdentityProvider) -> None:
    rewrite(
        identity,
        "/.well-known/openid-configuration",
        lambda body: (json.dumps(json.loads(body) | {"issuer": "https://evil.example"}).encode(), "application/json"),
    )

    assert (await house.browser().get("/connexion")).status_code == 503


@pytest.mark.parametrize(("acr", "enough"), [("eidas1", True), ("eidas2", True), ("eidas0", False), (None, False)])
def test_S1_a_level_of_assurance_that_was_asked_for_is_checked(acr: str | None, *, enough: bool) -> None:
    provider = Provider(GatewaySettings(oidc_acr_values="eidas1 eidas2"))

    with nullcontext() if enough else pytest.raises(SignInRefused):
        provider._check_level({"sub": "a"} | ({"acr": acr} if acr else {}))
    Provider(GatewaySettings())._check_level({"sub": "a"})
