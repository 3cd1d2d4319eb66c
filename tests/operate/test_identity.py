"""The demonstration's identity provider as a process: who may sign in, from where, and with what proof."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from deploy.accounts import Secrets
from deploy.agents import read_agents
from deploy.child import free_port
from deploy.installation import Installation
from deploy.program import Program

PORTAL = "http://127.0.0.1:18999"
BACK = f"{PORTAL}/connexion/retour"


class Provider:
    def __init__(self, folder: Path) -> None:
        installation = Installation(folder)
        installation.create()
        self.secret = Secrets(folder / "secrets").oidc_client()
        port = free_port()
        command = ["deploy.identity", "--port", str(port), "--portal", PORTAL, "--key", str(folder / "signing_key.pem")]
        environment = {"LABO_SECRETS_DIR": str(folder / "secrets" / "identity")}
        ready = "/.well-known/openid-configuration"
        self.process = Program("sign-in", installation, command, port=port, ready_path=ready, environment=environment)
        self.web = httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False)

    def ask(self, verifier: str, **changes: str | None) -> dict[str, str]:
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "client_id": "labo-portal", "response_type": "code", "scope": "openid profile email", "redirect_uri": BACK, "state": "s",
            "nonce": "n", "code_challenge": challenge, "code_challenge_method": "S256",
        } | changes  # fmt: skip
        return {name: value for name, value in asked.items() if value is not None}

    def code(self, verifier: str, sub: str = "agent-0001") -> str:
        answer = self.web.post("/oauth2/authorize", params=self.ask(verifier), data={"sub": sub})
        assert answer.status_code == 302, answer.text
        assert answer.headers["location"].startswith(BACK)
        return parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]

    def token(self, code: str, verifier: str, secret: str | None = None) -> Any:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "code_verifier": verifier}
        return self.web.post("/oauth2/token", data=form, auth=("labo-portal", secret or self.secret))


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    started = Provider(tmp_path_factory.mktemp("sign-in"))
    started.process.start()
    with started.web:
        yield started
    started.process.stop()


@pytest.fixture
def verifier() -> str:
    return secrets.token_urlsafe(48)


def test_one_click_signs_an_agent_in_with_the_claims_that_ProConnect_gives(provider: Provider, verifier: str) -> None:
    tokens = provider.token(provider.code(verifier), verifier).json()

    keys = KeySet.import_key_set(provider.web.get("/jwks").json())
    identity = jwt.decode(tokens["id_token"], keys, algorithms=["RS256"]).claims
    told = provider.web.get("/userinfo", headers={"Authorization": f"Bearer {tokens['access_token']}"}).json()

    garonne = read_agents()[0]
    assert (identity["sub"], identity["nonce"]) == ("agent-0001", "n")
    expected = {
        "given_name": "Garonne",
        "usual_name": "Tilleul",
        "email": garonne.email,
        "siret": garonne.org_unit.siret,
        "uid": "agent-0001",
    }
    assert {name: told[name] for name in expected} == expected


def test_the_page_offers_the_personas_and_everybody_in_french_with_nothing_from_elsewhere(provider: Provider, verifier: str) -> None:
    page = provider.web.get("/oauth2/authorize", params=provider.ask(verifier))

    assert "Qui êtes-vous aujourd’hui" in page.text
    assert page.text.count('name="sub" value="agent-') == 180 + sum(agent.persona is not None for agent in read_agents())
    assert "https://" not in page.text
    assert "<script" not in page.text


def test_a_code_is_worth_nothing_without_the_verifier_of_its_challenge(provider: Provider, verifier: str) -> None:
    refused = provider.token(provider.code(verifier), "another verifier")

    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


def test_a_code_is_good_once(provider: Provider, verifier: str) -> None:
    code = provider.code(verifier)
    assert provider.token(code, verifier).status_code == 200

    assert provider.token(code, verifier).status_code == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"code_challenge": None},
        {"code_challenge_method": "plain"},
        {"redirect_uri": "http://elsewhere.invalid/"},
        {"redirect_uri": f"{PORTAL}.elsewhere.invalid/"},
        {"client_id": "another"},
    ],
)
def test_a_sign_in_without_PKCE_or_for_another_address_is_refused(
    provider: Provider, verifier: str, changes: dict[str, str | None]
) -> None:
    asked = provider.ask(verifier, **changes)

    for answer in (
        provider.web.get("/oauth2/authorize", params=asked),
        provider.web.post("/oauth2/authorize", params=asked, data={"sub": "agent-0001"}),
    ):
        assert answer.status_code == 400
        assert "code=" not in answer.headers.get("location", "")


def test_the_portal_proves_itself_with_its_secret(provider: Provider, verifier: str) -> None:
    assert provider.token(provider.code(verifier), verifier, secret="wrong").status_code in {400, 401}


@pytest.mark.parametrize("sub", ["agent-9999", "", "<script>"])
def test_nobody_but_the_invented_agents_signs_in(provider: Provider, verifier: str, sub: str) -> None:
    answer = provider.web.post("/oauth2/authorize", params=provider.ask(verifier), data={"sub": sub})

    assert answer.status_code == 400
    assert "Personne ne porte l’identifiant" in answer.text
    assert "<script>" not in answer.text


def test_who_gives_up_is_sent_back_with_the_reason(provider: Provider, verifier: str) -> None:
    answer = provider.web.post("/oauth2/authorize", params=provider.ask(verifier), data={"action": "deny"})

    assert answer.headers["location"].startswith(f"{BACK}?error=access_denied")


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/users/agent-0001"), ("POST", "/oauth2/clients"), ("GET", "/oidc/login"), ("GET", "/console")]
)
def test_the_doors_that_its_library_has_for_tests_are_closed(provider: Provider, method: str, path: str) -> None:
    assert provider.web.request(method, path, json={}).status_code == 404


def test_a_sign_out_goes_back_to_the_portal_and_nowhere_else(provider: Provider) -> None:
    home = provider.web.post("/oauth2/end_session/confirm", data={"redirect_uri": f"{PORTAL}/"})
    elsewhere = provider.web.post("/oauth2/end_session/confirm", data={"redirect_uri": "http://elsewhere.invalid/"})

    assert (home.status_code, home.headers["location"]) == (302, f"{PORTAL}/")
    assert elsewhere.status_code == 400


def test_its_key_outlives_a_restart(provider: Provider) -> None:
    before = provider.web.get("/jwks").json()

    provider.process.kill()
    provider.process.start()

    assert provider.web.get("/jwks").json() == before
