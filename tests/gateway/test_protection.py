"""What every exchange passes through: origin, size, headers, how often."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from services.gateway.login.principal import Doorkeeper
from services.gateway.settings import GatewaySettings
from services.gateway.web.protection import LARGEST_BODY, content_security_policy, from_another_site, security_headers
from services.gateway.web.rate import Rate, TooManyRequests
from tests.gateway.conftest import ALICE, House, IdentityProvider, sign_in

OURS = frozenset({"https://labo.example"})


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({"sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "same-site"}, True),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"sec-fetch-site": "cross-site", "origin": "https://labo.example"}, True),
        ({"origin": "https://labo.example"}, False),
        ({"origin": "https://evil.example"}, True),
        ({"origin": "null"}, True),
        ({}, False),
        ({"sec-fetch-site": "cross-site", "authorization": "Bearer x"}, False),
    ],
)
def test_a_change_asked_by_another_site_with_our_cookies_is_refused(headers: dict[str, str], *, refused: bool) -> None:
    asked = Headers({"host": "labo.example"} | headers)

    assert from_another_site("POST", asked, OURS) is refused
    assert from_another_site("GET", asked, OURS) is False


async def test_a_form_of_another_site_changes_nothing(house: House, identity: IdentityProvider) -> None:
    browser = house.browser()
    await sign_in(browser, ALICE)

    page = await browser.post("/deconnexion", headers={"Sec-Fetch-Site": "cross-site"})
    problem = await browser.post("/api/v1/bookings/00000000-0000-0000-0000-000000000000/cancel", headers={"Origin": "https://evil.example"})

    assert page.status_code == 403
    assert "vient d’un autre site" in page.text.replace("&#39;", "’")
    assert (problem.status_code, problem.json()["code"]) == (403, "cross_site_refused")
    assert (await browser.get("/api/v1/me")).status_code == 200


async def test_every_answer_forbids_scripts_frames_and_guesses(house: House) -> None:
    browser = house.browser()

    for path in ("/", "/nowhere", "/api/v1/me", "/api/v1/openapi.json", "/connexion"):
        headers = (await browser.get(path)).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers


def test_forms_may_lead_to_the_provider_and_nowhere_else() -> None:
    policy = content_security_policy(GatewaySettings(oidc_issuer="https://idp.example/api/v2"))

    assert "form-action 'self' https://idp.example;" in policy


def test_over_https_cookies_are_host_only_and_browsers_stay_on_https() -> None:
    settings = GatewaySettings(public_url="https://labo.example")
    door = Doorkeeper(settings, None)  # pyright: ignore[reportArgumentType] - it asks nothing of the database here

    assert door.cookie == "__Host-labo-session"
    assert "strict-transport-security" in security_headers(settings)
    assert "strict-transport-security" not in security_headers(GatewaySettings())


@pytest.mark.parametrize("announced", [True, False])
async def test_a_long_body_is_refused_whether_announced_or_not(house: House, *, announced: bool) -> None:
    async def pieces() -> object:
        for _ in range(9):
            yield b"x" * (LARGEST_BODY // 8)

    body = b"x" * (LARGEST_BODY + 1) if announced else pieces()

    answer = await house.browser().post("/mon-projet/candidature", content=body)  # pyright: ignore[reportArgumentType]
    api = await house.browser().post(f"/api/v1/sessions/{ALICE.agent_id}/bookings", content=b"x" * (LARGEST_BODY + 1))

    assert answer.status_code in {413, 303}  # 303: nobody is signed in, and nothing was read
    assert (api.status_code, api.json()["code"]) == (413, "body_too_large")


async def test_static_files_are_kept_for_a_year_under_a_name_made_of_their_content(house: House) -> None:
    browser = house.browser()
    address = (await browser.get("/")).text.split('rel="stylesheet" href="')[1].split('"')[0]

    sheet = await browser.get(address)

    assert "immutable" in sheet.headers["cache-control"]
    assert sheet.headers["content-type"].startswith("text/css")
    font = sheet.text.split('src: url("')[1].split('"')[0]
    assert (await browser.get(font)).headers["content-type"] == "font/woff2"
    assert (await browser.get("/static/../settings.py")).status_code == 404


# --- how often ---------------------------------------------------------------------------------------------------------------------------


class Watch:
    def __init__(self) -> None:
        self.now = 600.0

    def __call__(self) -> float:
        return self.now


def test_a_principal_has_its_own_minute() -> None:
    rate = Rate(2, Watch())
    rate.count("a")
    rate.count("a")
    rate.count("b")

    with pytest.raises(TooManyRequests) as refused:
        rate.count("a")

    assert refused.value.retry_after is not None
    assert 1 <= refused.value.retry_after <= 61


def test_the_window_moves_rather_than_starting_anew() -> None:
    watch = Watch()
    rate = Rate(10, watch)
    watch.now += 59
    for _ in range(10):
        rate.count("a")

    watch.now += 2  # the next minute has begun, the last one still weighs 59/60
    rate.count("a")
    with pytest.raises(TooManyRequests):
        rate.count("a")
    watch.now += 30
    for _ in range(4):
        rate.count("a")


def test_the_wait_that_is_told_is_enough() -> None:
    watch = Watch()
    rate = Rate(10, watch)
    for _ in range(10):
        rate.count("a")
    watch.now += 65

    rate.count("a")
    with pytest.raises(TooManyRequests) as refused:
        rate.count("a")
    watch.now += refused.value.retry_after or 0
    rate.count("a")


def test_no_limit_counts_nothing() -> None:
    rate = Rate(0)

    for _ in range(1000):
        rate.count("a")


def test_strangers_of_yesterday_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.web.rate.MANY", 100)
    watch = Watch()
    rate = Rate(5, watch)
    for number in range(100):
        rate.count(number)
    watch.now += 180

    rate.count("new")

    assert len(rate._counts) == 1


async def test_too_many_requests_are_told_when_to_come_back(house: House) -> None:
    await house.register(ALICE)
    script = await house.script(ALICE)
    limit = house.settings.requests_per_minute

    answers = [await script.get("/api/v1/me") for _ in range(limit)]
    while answers[-1].status_code == 200 and len(answers) < 2 * limit:  # the end of a minute may lie between them, and leave room
        answers.append(await script.get("/api/v1/me"))

    *served, refused = answers
    assert {answer.status_code for answer in served} == {200}
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    assert int(refused.headers["retry-after"]) == refused.json()["retry_after"] >= 1
