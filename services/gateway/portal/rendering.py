"""Templates to pages: what every page shows, and the few files it needs, named by their content so that they are kept for a year."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.gateway.portal import wording
from services.gateway.portal.details import facts
from services.gateway.programme import domain as programme
from services.gateway.settings import GatewaySettings
from shared import clock

HERE = Path(__file__).parent
MEDIA_TYPES = {".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".woff2": "font/woff2"}


@dataclass(frozen=True, slots=True)
class Asset:
    body: bytes
    media_type: str


class Renderer:
    """Jinja with autoescape, and the static files in memory: five of them, less than 70 kB."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._named: dict[str, str] = {}
        self.assets: dict[str, Asset] = {}
        for file in sorted((HERE / "static").iterdir(), key=lambda file: file.suffix == ".css"):  # the style sheet names the others
            if file.suffix in MEDIA_TYPES:
                self._add(file)
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        shared: dict[str, Any] = {
            "asset": self.asset,
            "wording": wording,
            "types": programme.TYPES,
            "plural": programme.plural,
            "facts": facts,
        }
        self._environment.globals.update(shared)

    def _add(self, file: Path) -> None:
        body = file.read_bytes()
        if file.suffix == ".css":
            for name in self._named:
                body = body.replace(f'url("{name}")'.encode(), f'url("{self.asset(name)}")'.encode())
        name = f"{file.stem}.{hashlib.sha256(body).hexdigest()[:10]}{file.suffix}"
        self._named[file.name] = name
        self.assets[name] = Asset(body, MEDIA_TYPES[file.suffix])

    def asset(self, name: str) -> str:
        """Address of a static file; another content gets another address."""
        return f"/static/{self._named[name]}"

    def render(self, template: str, **values: Any) -> str:
        now = clock.now()
        shown = wording.instant(now) if self._settings.demonstration else None
        return self._environment.get_template(template).render(now=now, demonstration=shown, **values)
