"""The programme as an Atom feed (RFC 4287)."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, SubElement, tostring

from services.gateway.feeds.queries import Feed
from services.gateway.feeds.wording import instant, text_of, title_of, when_and_where
from services.gateway.programme.domain import TYPES, ListedSession

NAMESPACE = "http://www.w3.org/2005/Atom"
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no way to write."""


def atom(feed: Feed) -> bytes:
    root = Element("feed", {"xmlns": NAMESPACE, "xml:lang": "fr"})
    _add(root, "id", feed.url)
    _add(root, "title", "Programme du Lab-O")
    _add(root, "updated", instant(max((each.heard_at for each in feed.sessions), default=feed.changed_at)))
    _add(SubElement(root, "author"), "name", "Lab-O")
    SubElement(root, "link", rel="self", type="application/atom+xml", href=feed.url)
    SubElement(root, "link", rel="alternate", type="text/html", href=feed.home)
    for listed in feed.sessions:
        _entry(SubElement(root, "entry"), listed, feed.page(listed))
    return tostring(root, encoding="utf-8", xml_declaration=True)


def _entry(entry: Element, listed: ListedSession, page: str) -> None:
    session = listed.session
    _add(entry, "id", f"urn:uuid:{session.session_id}")
    _add(entry, "title", title_of(listed))
    _add(entry, "updated", instant(listed.heard_at))
    SubElement(entry, "link", rel="alternate", type="text/html", href=page)
    SubElement(entry, "category", term=_xml(session.theme))
    SubElement(entry, "category", term=session.activity_type, label=TYPES[session.activity_type])
    _add(entry, "summary", when_and_where(session))
    _add(entry, "content", text_of(listed))


def _add(parent: Element, tag: str, words: str) -> None:
    SubElement(parent, tag).text = _xml(words)


def _xml(words: str) -> str:
    return _NOT_XML.sub("", words)
