"""Certificates on paper and in public: fetched by their agent, checked by anybody, offline too (A1-A3)."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from deploy import certificates as command
from services.gateway.certificates.paper import print_certificate
from services.gateway.certificates.statement import CertificateNotGenuine, SigningKey, Statement
from shared.contracts.attendance import EnterAttendance, HandEntry
from shared.links import Purpose
from tests.gateway.conftest import ALICE, BOB, OPERATOR, House, IdentityProvider, sign_in
from tests.gateway.given import refusal
from tests.gateway.test_sheets import EVENING, Class, clock_goes_on, it_is, training

__all__ = ["clock_goes_on", "training"]

OTHER = "B" * 42 + "A"
KEY = SigningKey(SecretStr("A" * 43))
SAID = Statement(
    jti=UUID(int=1),
    iss="https://lab-o.exemple.invalid",
    iat=datetime(2027, 3, 18, 17, tzinfo=UTC),
    name="Adour Saule-Têtard",
    title="Écrire à l'usager : « nudge » #let x = [*]",
    place="La Halle aux essais, Toulouse",
    half_days=("jeudi 18 mars 2027, matin",),
    of=2,
)


# --- on paper ------------------------------------------------------------------------------------------------------------------------


def test_a_signed_text_says_what_was_signed_and_nothing_else_is_believed() -> None:
    text = SAID.sign(KEY)

    assert KEY.read(text) == SAID
    head, payload, signature = text.split(".")
    elsewhere = SigningKey(SecretStr(OTHER))
    forged = [
        f"{head}.{payload[:-2]}AA.{signature}",
        f"{head}.{payload}.",
        f"{head}.{payload}",
        "",
        "é.è.à",
        "x" * 5000,
        SAID.sign(elsewhere),
    ]
    unsigned = "eyJhbGciOiJub25lIiwidHlwIjoibGFiby1hdHRlc3RhdGlvbitqd3QifQ"
    for other in (*forged, f"{unsigned}.{payload}."):
        with pytest.raises(CertificateNotGenuine):
            KEY.read(other)


async def test_the_paper_is_tagged_for_everybody_and_carries_its_signed_text() -> None:
    text = SAID.sign(KEY)

    content = await print_certificate(SAID, f"{SAID.issuer}/verifier/{text}")

    assert content.startswith(b"%PDF-1.7")
    for mark in (b"pdfuaid:part", b"/StructTreeRoot", b"/Lang(fr-FR)", b"/DisplayDocTitle true", text.encode()):
        assert mark in content, mark
    assert content == await print_certificate(SAID, f"{SAID.issuer}/verifier/{text}"), "the same paper each time"


def test_a_third_party_checks_it_with_the_recipe_of_the_documentation(tmp_path: Path) -> None:
    recipe = re.search(r"```python\n(.*?)```", Path("docs/certificates.md").read_text(), re.DOTALL)
    assert recipe
    keys, text = tmp_path / "keys.json", SAID.sign(KEY)
    keys.write_text(json.dumps(KEY.published))
    assert '"d"' not in keys.read_text(), "the private half stays at home"

    def check(what: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", recipe[1], what, str(keys)], capture_output=True, text=True, check=False)

    assert json.loads(check(f"https://lab-o.exemple.invalid/verifier/{text}").stdout)["name"] == SAID.name
    head, payload, signature = text.split(".")
    assert "InvalidSignature" in check(f"{head}.{payload[:-4]}AAAA.{signature}").stderr


async def test_labo_certificates_verify_reads_the_paper_without_any_network(tmp_path: Path) -> None:
    keys, paper, other = tmp_path / "keys.json", tmp_path / "attestation.pdf", tmp_path / "other.pdf"
    keys.write_text(json.dumps(KEY.published))
    text = SAID.sign(KEY)
    paper.write_bytes(await print_certificate(SAID, f"{SAID.issuer}/verifier/{text}"))
    other.write_bytes(await print_certificate(SAID, f"{SAID.issuer}/verifier/{SAID.sign(SigningKey(SecretStr(OTHER)))}"))

    def verify(what: str) -> Any:
        return CliRunner().invoke(command.certificates_app, ["verify", what, "--key", str(keys), "--json"])

    for what in (str(paper), text, f"{SAID.issuer}/verifier/{text}"):
        found = verify(what)
        assert (found.exit_code, json.loads(found.output)["name"]) == (0, SAID.name), what
    for what in (str(other), text[:-3] + "AAA", "nonsense"):
        assert verify(what).exit_code == 1, what


# --- in public -----------------------------------------------------------------------------------------------------------------------


async def alice_attended(training: Class, *half_days: int) -> None:
    it_is(EVENING)
    for half_day in half_days:
        await correct(training, half_day, present=True)
    anybody = training.house.browser()
    for half_day in (1, 2):
        assert (await anybody.post(f"{training.address}/{half_day}/signature")).status_code == 303


async def correct(training: Class, half_day: int, *, present: bool) -> None:
    entry = HandEntry(booking_id=training.alice.booking_id, present=present)
    order = EnterAttendance(session_id=training.session_id, half_day=half_day, entries=(entry,), reason="Feuille papier signée")
    await training.house.bus.ask(order, OPERATOR)


def address_of(training: Class) -> str:
    return f"/attestation/{training.link(Purpose.FETCH_CERTIFICATE, training.alice.booking_id, ALICE.agent_id)}"


def text_in(paper: httpx2.Response) -> str:
    assert (paper.status_code, paper.headers["content-type"]) == (200, "application/pdf")
    return command.text_of_content(paper.content)


async def test_A3_the_link_of_the_mail_gives_the_paper_once_the_sheet_is_closed_and_anybody_may_check_it(training: Class) -> None:
    anybody = training.house.browser()
    early = await anybody.get(address_of(training))
    assert (early.status_code, "pas d&#39;attestation" in early.text) == (404, True)

    await alice_attended(training, 1, 2)
    paper = await anybody.get(address_of(training))
    page = await anybody.get(f"/verifier/{text_in(paper)}")

    assert (page.status_code, page.headers["cache-control"]) == (200, "no-store")
    for words in (
        "authentique et valable",
        f"{ALICE.given_name} {ALICE.usual_name}",
        "Pitcher en 5 minutes",
        "suivi complet",
        "18 mars 2027, matin",
    ):
        assert words in page.text, words
    assert "attestation-2027-03-18.pdf" in paper.headers["content-disposition"]
    for who in (BOB.agent_id, uuid4()):
        stolen = training.link(Purpose.FETCH_CERTIFICATE, training.alice.booking_id, who)
        assert (await anybody.get(f"/attestation/{stolen}")).status_code == 404
    pasted = await anybody.post("/verifier", data={"texte": f" {training.house.url}/verifier/{text_in(paper)}\n"})
    assert (pasted.status_code, pasted.headers["location"]) == (303, f"/verifier/{text_in(paper)}")
    for wrong in ("abc", text_in(paper)[:-4] + "AAAA"):
        assert (await anybody.get(f"/verifier/{wrong}")).status_code == 404
    keys = (await anybody.get("/.well-known/labo-certificates.json")).json()
    assert command.read(text_in(paper), keys)["name"] == f"{ALICE.given_name} {ALICE.usual_name}"


async def test_A2_a_correction_replaces_the_paper_and_the_former_one_says_so(training: Class) -> None:
    anybody, alice = training.house.browser(), await training.house.script(ALICE)
    await alice_attended(training, 1)
    first = text_in(await anybody.get(address_of(training)))
    await correct(training, 2, present=True)
    second = text_in(await anybody.get(address_of(training)))
    assert [KEY.read(each).complete for each in (first, second)] == [False, True]

    assert "remplacée le" in (await anybody.get(f"/verifier/{first}")).text
    checked = (await anybody.get(f"/api/v1/certificates/{second}")).json()
    assert (checked["state"], checked["complete"]) == ("valid", True)
    for half_day in (1, 2):
        await correct(training, half_day, present=False)

    assert (await anybody.get(address_of(training))).status_code == 404
    states = {(await anybody.get(f"/api/v1/certificates/{each}")).json()["state"] for each in (first, second)}
    assert states == {"reissued"}
    mine = (await alice.get("/api/v1/me/certificates")).json()["certificates"]
    assert [each["state"] for each in mine] == ["revoked", "reissued", "reissued"]
    assert {each["pdf_url"] for each in mine} == {None}
    assert refusal(await anybody.get("/api/v1/certificates/abc")) == (404, "certificate_not_genuine")


async def test_A2_whoever_downloads_while_it_is_corrected_gets_a_paper_that_is_known_whatever_became_of_it(training: Class) -> None:
    anybody = training.house.browser()
    await alice_attended(training, 1)

    async def corrections() -> None:
        for _ in range(3):
            await correct(training, 2, present=True)
            await correct(training, 2, present=False)

    downloads = asyncio.gather(*(anybody.get(address_of(training)) for _ in range(8)))
    _, papers = await asyncio.gather(corrections(), downloads)

    for text in {text_in(paper) for paper in papers}:
        checked = (await anybody.get(f"/api/v1/certificates/{text}")).json()
        assert checked["state"] in ("valid", "reissued")
        assert checked["half_days"] == list(KEY.read(text).half_days)
    last = text_in(await anybody.get(address_of(training)))
    assert (await anybody.get(f"/api/v1/certificates/{last}")).json()["state"] == "valid"


async def test_A2_without_booking_a_genuine_paper_is_called_genuine_and_no_more(training: Class) -> None:
    anybody = training.house.browser()
    await alice_attended(training, 1)
    text = text_in(await anybody.get(address_of(training)))

    await training.house.stop("booking")

    assert (await anybody.get(f"/api/v1/certificates/{text}")).json()["state"] == "unconfirmed"
    assert "réessayez dans un instant" in (await anybody.get(f"/verifier/{text}")).text


async def test_A1_an_agent_finds_their_certificate_among_their_bookings(training: Class, identity: IdentityProvider) -> None:
    await alice_attended(training, 1)
    browser = training.house.browser()
    await sign_in(browser, ALICE)
    address = f"/mes-inscriptions/{training.alice.booking_id}/attestation"

    assert address in (await browser.get("/mes-inscriptions")).text
    assert KEY.read(text_in(await browser.get(address))).half_days == ("jeudi 18 mars 2027, matin",)
    assert (await browser.get(f"/mes-inscriptions/{training.bob.booking_id}/attestation")).status_code == 404


async def test_without_a_key_nothing_is_printed_and_nothing_believed(house: House) -> None:
    object.__setattr__(house.settings, "certificate_key", SecretStr(""))

    assert (await house.browser().get("/.well-known/labo-certificates.json")).status_code == 503
    assert (await house.browser().get("/verifier/abc")).status_code == 503
