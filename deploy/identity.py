"""The demonstration's own OpenID Connect provider, in place of ProConnect: the invented agents sign in with one click, in French.

    python -m deploy.identity --port 9400 --portal http://127.0.0.1:8080 --key FILE

It is `oidc-provider-mock` made a little less trusting: one client, with its secret and its portal's addresses only; PKCE asked for and
checked; known agents only; no debugger, none of its doors for tests, nothing fetched from elsewhere; and a key that outlives a restart.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import cast
from urllib.parse import parse_qs, urlsplit

import flask
from authlib.jose import RSAKey
from flask.typing import ResponseReturnValue
from oidc_provider_mock import User, init_app
from oidc_provider_mock._storage import Client, ClientAllowAny, storage  # no public way to add a client
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.serving import make_server
from werkzeug.wrappers import Response

from deploy.agents import Agent, read_agents

CLIENT_ID = "labo-portal"
PAGES = Path(__file__).with_name("pages")
DOORS = frozenset({"home", "openid_config", "jwks", "authorize", "issue_token", "userinfo", "end_session", "end_session_confirm"})
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


class IdentitySettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="LABO_", secrets_dir=os.environ.get("LABO_SECRETS_DIR"))

    oidc_client_secret: SecretStr


def provider(portal: str, secret: str, key: RSAKey, agents: Sequence[Agent]) -> flask.Flask:
    """The provider as a WSGI application."""
    app = flask.Flask("deploy.identity", template_folder=str(PAGES / "identity"), static_folder=None)
    bare = app.wsgi_app
    users = [User(sub=agent.sub, claims=claims(agent)) for agent in agents]
    init_app(app, require_client_registration=True, user_claims=users)
    app.wsgi_app = bare  # without the interactive debugger that the library wraps around it
    app.debug = False
    app.secret_key = os.urandom(16)
    _watch_the_doors(app, Portal.at(portal, secret), key, frozenset(agent.sub for agent in agents))
    shown = _shown(agents)

    @app.context_processor
    def page() -> dict[str, object]:
        return {"style": (PAGES / "style.css").read_text(), "portal": portal, **shown}

    return app


def claims(agent: Agent) -> dict[str, object]:
    """As ProConnect says them: `usual_name` for the family name, `siret` for the workplace."""
    return {
        "given_name": agent.given_name,
        "usual_name": agent.usual_name,
        "email": agent.email,
        "email_verified": True,
        "siret": agent.org_unit.siret,
        "uid": agent.sub,
    }


@dataclass(kw_only=True, frozen=True)
class Portal(Client):
    """The only client: answers go to its own address and nowhere else."""

    address: str

    @classmethod
    def at(cls, address: str, secret: str) -> Portal:
        scopes, anything = Client.SCOPES_SUPPORTED, ClientAllowAny()
        return cls(
            id=CLIENT_ID, secret=secret, address=address.rstrip("/") + "/", redirect_uris=anything, allowed_scopes=scopes,
            token_endpoint_auth_method=anything,
        )  # fmt: skip

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return f"{redirect_uri}/".startswith(self.address)

    def check_client_secret(self, client_secret: str) -> bool:
        return hmac.compare_digest(client_secret, str(self.secret))


def _watch_the_doors(app: flask.Flask, portal: Portal, key: RSAKey, known: frozenset[str]) -> None:
    challenges: dict[str, str] = {}

    @app.before_request
    def check() -> ResponseReturnValue | None:
        storage.jwk = key
        storage.store_client(portal)
        asked, door = flask.request, (flask.request.endpoint or "").rpartition(".")[2]
        if door not in DOORS:
            flask.abort(404)
        if door == "authorize":
            return _refused_sign_in(asked, known)
        if door == "issue_token" and asked.form.get("grant_type") == "authorization_code":
            challenge = challenges.pop(asked.form.get("code", ""), "")
            if not hmac.compare_digest(challenge, s256(asked.form.get("code_verifier", ""))):
                return {"error": "invalid_grant", "error_description": "code_verifier does not match"}, 400
        back = asked.values.get("post_logout_redirect_uri") or asked.form.get("redirect_uri")
        if door.startswith("end_session") and back and not portal.check_redirect_uri(back):
            return _error("Cette adresse de retour n’est pas celle du portail.")
        return None

    @app.after_request
    def remember(answer: Response) -> Response:
        if code := parse_qs(urlsplit(answer.headers.get("Location", "")).query).get("code"):
            challenges[code[0]] = flask.request.args.get("code_challenge", "")
        answer.headers["Content-Security-Policy"] = POLICY
        answer.headers["Cache-Control"] = "no-store"
        return answer


def _refused_sign_in(asked: flask.Request, known: frozenset[str]) -> ResponseReturnValue | None:
    if not asked.args.get("code_challenge") or asked.args.get("code_challenge_method") != "S256":
        return _error("Le portail doit envoyer un défi PKCE (code_challenge, méthode S256).")
    if asked.method == "POST" and asked.form.get("action") != "deny" and asked.form.get("sub", "").strip() not in known:
        return flask.render_template("authorization_form.html", unknown=asked.form.get("sub")), 400
    return None


def _error(description: str) -> ResponseReturnValue:
    return flask.render_template("error.html", name="Demande refusée", description=description), 400


def _shown(agents: Sequence[Agent]) -> dict[str, object]:
    by_unit = sorted(agents, key=lambda agent: (agent.org_unit.name, agent.usual_name, agent.given_name))
    units = [(unit, list(members)) for unit, members in groupby(by_unit, key=lambda agent: agent.org_unit)]
    return {"personas": [agent for agent in agents if agent.persona], "units": units, "number": len(agents)}


def s256(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def signing_key(file: Path) -> RSAKey:
    """The provider's key, made at first need: a restart must not void what a portal remembers of it."""
    if not file.exists():
        made = RSAKey.generate_key(2048, is_private=True)
        partial = file.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        partial.touch(mode=0o600)
        partial.write_bytes(cast("bytes", made.as_pem(is_private=True)))
        partial.rename(file)
    return RSAKey.import_key(file.read_bytes())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="identity", description="Local OpenID Connect provider of the demonstration")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--behind-proxy", action="store_true", help="believe one proxy's word on the scheme (X-Forwarded-Proto)")
    parser.add_argument("--portal", required=True, help="address of the portal, the only one that is answered")
    parser.add_argument("--key", type=Path, required=True, help="file of the signing key, made at first need")
    asked = parser.parse_args(arguments)
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # loopback, without TLS
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # request lines hold codes
    secret = IdentitySettings.model_validate({}).oidc_client_secret.get_secret_value()
    app = provider(asked.portal, secret, signing_key(asked.key), read_agents())
    if asked.behind_proxy:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=0, x_proto=1)
    server = make_server(asked.host, asked.port, app, threaded=True)
    signal.signal(signal.SIGTERM, _leave)
    server.serve_forever()


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main()
