"""Where the feeds of the public programme are, each with the choices that it was asked for."""

from __future__ import annotations

from urllib.parse import urlencode

from services.gateway.programme.queries import Filters

CALENDAR, ATOM, JSON = "text/calendar", "application/atom+xml", "application/feed+json"
NAMES = {CALENDAR: "programme.ics", ATOM: "programme.atom", JSON: "programme.json"}


def addresses(filters: Filters) -> dict[str, str]:
    """By their media types, below the portal's own."""
    return {media_type: address(filters, media_type) for media_type in NAMES}


def address(filters: Filters, media_type: str) -> str:
    choices = {
        "activity_type": filters.activity_type,
        "delivery_mode": filters.delivery_mode,
        "department": filters.department,
        "theme": filters.theme,
        "q": filters.words,
    }
    query = urlencode({name: str(value) for name, value in choices.items() if value})
    return f"/api/v1/{NAMES[media_type]}" + (f"?{query}" if query else "")
