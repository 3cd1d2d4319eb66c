"""`labo certificates`: the key that certificates are signed with, and checking one without any network."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from deploy.asking import AsJson, console, print_json
from deploy.unprivileged import SetupError

ALGORITHM, TYPE = "Ed25519", "labo-attestation+jwt"
IN_AN_ADDRESS = re.compile(rb"/verifier/([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)")

certificates_app = typer.Typer(no_args_is_help=True, help="Attendance certificates, checked without asking anybody.")


@certificates_app.callback()
def group() -> None:
    """One command so far, and still a group."""


@certificates_app.command("verify")
def verify(
    certificate: Annotated[str, typer.Argument(help="the PDF, or the text or address that its QR holds")],
    key: Annotated[Path, typer.Option("--key", help="the lab's public key, kept from /.well-known/labo-certificates.json")],
    *,
    as_json: AsJson = False,
) -> None:
    """What a certificate says, if the lab signed it; exit code 1 if not. Whether it was revoked since, only the page /verifier knows."""
    try:
        said = read(text_of(certificate), json.loads(key.read_text()))
    except (JoseError, ValueError) as error:
        console.print(f"not genuine: {type(error).__name__}")
        raise typer.Exit(1) from error
    if as_json:
        print_json(said)
        return
    console.print("genuine: signed by the lab; whether it still holds, only its page /verifier can say", highlight=False)
    for name in ("name", "title", "place", "half_days", "of", "iat", "jti", "iss"):
        console.print(f"  {name:<10}{said[name]}", highlight=False, markup=False)


def text_of(certificate: str) -> str:
    """The signed text in a PDF, in an address, or itself."""
    path = Path(certificate)
    return text_of_content(path.read_bytes() if len(certificate) < 200 and path.is_file() else certificate.encode())


def text_of_content(content: bytes) -> str:
    if found := IN_AN_ADDRESS.search(content):
        return found[1].decode()
    if content.startswith(b"%PDF"):
        raise SetupError("this PDF holds no certificate of the lab")
    return content.decode().strip()


def read(text: str, keys: Any) -> dict[str, Any]:
    """Raises `JoseError` or `ValueError` for what the lab did not sign, or signed for something else."""
    found = jws.deserialize_compact(text, KeySet.import_key_set(keys), algorithms=[ALGORITHM])
    if found.headers().get("typ") != TYPE:
        raise ValueError("signed for something else")
    return json.loads(found.payload)
