"""A real browser, Debian's Chromium, on the portal with the demonstration loaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from deploy.demo import load
from services.gateway.settings import GatewaySettings
from shared import clock
from shared.bus import Bus
from tests.gateway.conftest import (  # fixtures are found by their names here
    House,
    IdentityProvider,
    house,
    identity,
    provider_key,
    pytest_collection_modifyitems,
)

__all__ = ["house", "identity", "provider_key", "pytest_collection_modifyitems"]

DEMONSTRATION = datetime(2027, 3, 1, 8, 0, tzinfo=UTC)  # Monday 1 March 2027, 09:00 in Paris
CHROMIUM = os.environ.get("LABO_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--font-render-hinting=none",
]
PICTURES = os.environ.get("LABO_PICTURES")
"""A folder for pictures of every page, when somebody wants to look."""


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium, or name one in LABO_CHROMIUM")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
async def portal(house: House, identity: IdentityProvider, settings_for: Callable[..., Any]) -> House:
    """The portal on the morning of the demonstration, with its programme, people, bookings and projects."""
    clock.shift(DEMONSTRATION - datetime.now(UTC), "embedded")
    await house.start("catalog", "booking", "projects")
    operator = await Bus.connect(settings_for("operator", postgres_password=""), user="operator")
    house.stack.push_async_callback(operator.close)
    report = await load(operator)
    assert not report.refused, report
    return house


@pytest.fixture
async def visit(chromium: Browser, portal: House) -> AsyncIterator[Callable[..., Any]]:
    """`page = await visit()`: a new visitor, without JavaScript unless asked otherwise, as everything must work without."""
    contexts: list[BrowserContext] = []

    async def arrive(*, javascript: bool = False, **options: Any) -> Page:
        defaults: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}, "locale": "fr-FR", "base_url": portal.url}
        context = await chromium.new_context(java_script_enabled=javascript, **defaults | options)
        contexts.append(context)
        page = await context.new_page()
        page.set_default_timeout(8000)
        return page

    yield arrive
    for context in contexts:
        await context.close()


async def sign_in(page: Page, settings: GatewaySettings, sub: str) -> None:
    """Through the provider's own page, as a person does."""
    await page.get_by_role("link", name="Se connecter").first.click()
    await page.wait_for_url(f"{settings.oidc_issuer}/**")
    await page.locator(f"button[value='{sub}']").first.click()
    await page.wait_for_url(f"{settings.public_url}/**")


async def picture(page: Page, name: str) -> None:
    if PICTURES:
        await page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=os.environ.get("LABO_PICTURES_WHOLE") == "1")
