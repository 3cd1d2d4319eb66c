"""The programme as a JSON Feed 1.1 (jsonfeed.org)."""

from __future__ import annotations

import json
from typing import Any

from services.gateway.feeds.queries import Feed
from services.gateway.feeds.wording import instant, text_of, title_of, when_and_where
from services.gateway.programme.domain import TYPES, ListedSession


def json_feed(feed: Feed) -> bytes:
    document = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": "Programme du Lab-O",
        "home_page_url": feed.home,
        "feed_url": feed.url,
        "language": "fr",
        "authors": [{"name": "Lab-O"}],
        "items": [_item(listed, feed.page(listed)) for listed in feed.sessions],
    }
    return json.dumps(document, ensure_ascii=False).encode()


def _item(listed: ListedSession, page: str) -> dict[str, Any]:
    session = listed.session
    return {
        "id": f"urn:uuid:{session.session_id}",
        "url": page,
        "title": title_of(listed),
        "summary": when_and_where(session),
        "content_text": text_of(listed),
        "date_modified": instant(listed.heard_at),
        "tags": [session.theme, TYPES[session.activity_type]],
    }
