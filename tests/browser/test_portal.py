"""The portal in a real browser: accessible, light, usable without JavaScript on a desk and on a telephone."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, Response

from tests.browser.conftest import picture, sign_in
from tests.gateway.conftest import House

BUDGET_BYTES, BUDGET_REQUESTS = 150_000, 25  # S6
PUBLIC = [
    "/",
    "/?places=toutes",
    "/plan-du-site",
    "/accessibilite",
    "/mentions-legales",
    "/donnees-personnelles",
    "/cookies",
    "/ecoconception",
    "/nowhere",
]
TELEPHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}}
NARROW: dict[str, Any] = {"viewport": {"width": 320, "height": 640}}  # RGAA 10.11: 400 % of a 1280 px screen
Visit = Callable[..., Awaitable[Page]]


async def faults(page: Page) -> list[str]:
    """What axe-core has to say against a page."""
    found = await Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]})
    return [f"{each['id']}: {each['help']} ({each['nodes'][0]['html'][:120]})" for each in found.response["violations"]]


async def links(page: Page) -> list[str]:
    """Pages of every kind that a signed-in agent can reach, the confirmation before a cancellation included."""
    await page.goto("/mes-inscriptions")
    cancel = await page.get_by_role("link", name=re.compile("Annuler|Quitter")).first.get_attribute("href")
    session = await page.locator(".session-title a").first.get_attribute("href")
    await page.goto("/?places=toutes")
    kinds = [await page.locator(f".session:has(.seats.{kind}) h3 a").first.get_attribute("href") for kind in ("free", "few", "full", "off")]
    return [link for link in (cancel, session, *kinds) if link]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_S3_axe_finds_nothing_on_any_page(visit: Visit, portal: House, scheme: str) -> None:
    page = await visit(javascript=True, color_scheme=scheme, bypass_csp=True)  # axe itself is a script, which our pages forbid
    found: dict[str, list[str]] = {}

    for path in PUBLIC:
        await page.goto(path)
        found[path] = await faults(page)
    await page.goto("/")
    await sign_in(page, portal.settings, "agent-0001")
    for path in ("/", "/mes-inscriptions", "/mon-projet", *await links(page)):
        await page.goto(path)
        found[f"signed in {path}"] = await faults(page)
    await page.goto("/deconnexion")  # a page of ours for a method that it does not take
    found["405"] = await faults(page)
    await page.context.clear_cookies()
    await page.goto("/")
    await sign_in(page, portal.settings, "agent-0005")
    await page.goto("/mon-projet")
    found["a coach's projects"] = await faults(page)

    assert {path: those for path, those in found.items() if those} == {}


async def test_S6_no_page_weighs_more_than_150_kb_nor_asks_anything_of_others(visit: Visit, portal: House) -> None:
    agent = await visit()
    await agent.goto("/")
    await sign_in(agent, portal.settings, "agent-0005")
    signed_in: dict[str, Any] = {"storage_state": await agent.context.storage_state()}
    weights: dict[str, tuple[int, int]] = {}

    for path in [*PUBLIC, "/mes-inscriptions", "/mon-projet"]:
        page = await visit(**signed_in)  # with a cache that is empty
        answers: list[Response] = []
        page.on("response", lambda answer, answers=answers: answers.append(answer))
        await page.goto(path, wait_until="networkidle")
        weights[path] = sum([len(await answer.body()) for answer in answers]), len(answers)
        assert {answer.url.split("/")[2] for answer in answers} == {portal.url.removeprefix("http://")}
        await page.context.close()

    print({path: f"{size / 1000:.0f} kB, {requests} requests" for path, (size, requests) in weights.items()})
    assert max(size for size, _ in weights.values()) < BUDGET_BYTES
    assert max(requests for _, requests in weights.values()) < BUDGET_REQUESTS


@pytest.mark.parametrize("device", [{}, TELEPHONE, NARROW], ids=["desk", "telephone", "narrow"])
async def test_an_agent_books_and_cancels_without_javascript(visit: Visit, portal: House, device: dict[str, Any]) -> None:
    page = await visit(**device)
    await page.goto("/?places=toutes")
    await picture(page, f"programme-{device.get('viewport', {}).get('width', 'desk')}")
    await page.get_by_role("link", name="Jurys citoyens").click()
    await page.get_by_role("link", name="Se connecter pour s’inscrire").click()
    await page.locator("input[name=sub]").fill("agent-0100")
    await page.get_by_role("button", name="Se connecter").click()
    await page.get_by_role("heading", level=1, name="Jurys citoyens").wait_for()

    await page.get_by_role("button", name="S’inscrire").click()

    await page.get_by_text("Confirmation enregistrée, courriel à suivre").wait_for()
    await picture(page, f"session-{device.get('viewport', {}).get('width', 'desk')}")
    await page.get_by_role("link", name="Rendre ma place").click()
    await page.get_by_role("button", name="Oui, rendre ma place").click()
    await page.get_by_text("Votre place est rendue").wait_for()
    assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    await page.get_by_role("button", name="Se déconnecter").click()
    await page.wait_for_url(f"{portal.settings.oidc_issuer}/**")


async def test_nothing_must_be_scrolled_sideways_on_a_small_screen(visit: Visit, portal: House) -> None:
    page = await visit(**NARROW)
    widths: dict[str, int] = {}
    await page.goto("/")
    await sign_in(page, portal.settings, "agent-0005")

    for path in [*PUBLIC, "/mes-inscriptions", "/mon-projet"]:
        await page.goto(path)
        widths[path] = await page.evaluate("document.documentElement.scrollWidth")

    assert {path: width for path, width in widths.items() if width > 320} == {}


async def test_everything_is_reached_with_the_keyboard_and_seen_when_it_is(visit: Visit, portal: House) -> None:
    page = await visit()
    await page.goto("/")

    await page.keyboard.press("Tab")
    skip = await page.evaluate("document.activeElement.getBoundingClientRect().top >= 0 && document.activeElement.textContent")
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    first = await page.evaluate("document.activeElement.id")
    outline = await page.evaluate(
        "getComputedStyle(document.activeElement).outlineStyle + getComputedStyle(document.activeElement).outlineWidth"
    )

    assert skip == "Aller au contenu"
    assert first == "q"  # the first field of the programme's filters
    assert outline == "solid3px"
