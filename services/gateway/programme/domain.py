"""The programme in plain words: seats as people say them, and texts as people search them. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast
from uuid import UUID

from shared.contracts.availability import RemotePlaces
from shared.contracts.catalog import ActivityPublished, ActivityType, SessionState
from shared.contracts.details import ActivityDetails
from shared.contracts.feedback import Improvement
from shared.contracts.quorum import Quorum
from shared.errors import Refused

NEVER = datetime.min.replace(tzinfo=UTC)
SMALL_WORDS = frozenset(
    {"au", "aux", "avec", "dans", "de", "des", "du", "en", "et", "la", "le", "les", "ou", "par", "pour", "sur", "un", "une"}
)

TYPES = {
    ActivityType.LABTOUR: "Labtour",
    ActivityType.INNOVATION_THURSDAY: "Jeudi de l’innovation",
    ActivityType.TRAINING: "Formation innovante",
    ActivityType.WORKSHOP_SUPPORT: "Appui à un atelier",
    ActivityType.COACHING: "Accompagnement de projet",
}


class SessionUnknown(Refused):
    code, status, title = "session_unknown", 404, "Cette séance n’existe pas."


class ActivityUnknown(Refused):
    code, status, title = "activity_unknown", 404, "Cette activité n’existe pas."


class CursorInvalid(Refused):
    code, status, title = "cursor_invalid", 400, "Cette suite de liste n’est plus lisible : recommencez depuis le début."


@dataclass(frozen=True, slots=True)
class ListedSession:
    """A session as the programme knows it: catalog's state, and counters that are an estimate (E7)."""

    session: SessionState
    description: str = ""
    audience: str = ""
    details: ActivityDetails | None = None
    improvements: tuple[Improvement, ...] = ()
    held: int = 0
    waiting: int = 0
    quorum: Quorum | None = None
    remote: RemotePlaces | None = None
    heard_at: datetime = NEVER
    """Real time at which the session or its activity was last heard of."""

    @property
    def session_id(self) -> UUID:
        return self.session.session_id

    @property
    def cancelled(self) -> bool:
        return self.session.status == "cancelled"

    @property
    def seats_left(self) -> int:
        """Seats, of a hybrid session those in the room, that a newcomer could still take: none while others wait (B2)."""
        if self.cancelled or self.waiting:
            return 0
        return max(0, self.session.capacity - self.held)

    @property
    def remote_seats_left(self) -> int:
        """At a distance, in a hybrid session (B9)."""
        if self.cancelled or self.remote is None or self.remote.waiting:
            return 0
        return max(0, self.remote.capacity - self.remote.held)

    def started(self, now: datetime) -> bool:
        return self.session.starts_at <= now

    def seats_in_words(self, now: datetime) -> str:
        if self.cancelled:
            return "séance annulée"
        if self.session.ends_at <= now:
            return "séance passée"
        if self.started(now):
            return "séance commencée"
        if self.seats_left or self.remote_seats_left:
            return self._what_is_left()
        if self.waiting:
            return f"complet, {self.waiting} personne{plural(self.waiting)} en attente"
        return "complet, liste d’attente ouverte"

    def _what_is_left(self) -> str:
        seats = f"{self.seats_left} place{plural(self.seats_left)}"
        if not self.remote_seats_left:
            return f"{seats} restante{plural(self.seats_left)}"
        return f"{seats if self.seats_left else 'complet'} dans la salle, {self.remote_seats_left} à distance"


def plural(number: int) -> str:
    """French: zero and one are singular."""
    return "s" if number > 1 else ""


def plain(words: str) -> str:
    """Lower case, no accents, no ligatures, so that « Evenement » finds « événement » and « coeur » finds « cœur »."""
    lowered = words.casefold().replace("œ", "oe").replace("æ", "ae").replace("’", "'")
    decomposed = unicodedata.normalize("NFKD", lowered)
    kept = (each for each in decomposed if not unicodedata.combining(each) and (each.isprintable() or each.isspace()))
    return " ".join("".join(kept).split())


def whereabouts(session: SessionState) -> str:
    """What a session is found by, whatever its activity comes to say."""
    place = (session.venue.name, session.venue.city) if session.venue else ("à distance",)
    return plain(" ".join((TYPES[session.activity_type], *place)))


def search_text(session: SessionState) -> str:
    """What a session is found by as long as its activity has not been heard of."""
    return f"{plain(f'{session.title} {session.summary} {session.theme}')} {whereabouts(session)}"


def activity_text(activity: ActivityPublished) -> str:
    """What its sessions are found by."""
    details = activity.details.model_dump(exclude={"activity_type"}) if activity.details else {}
    said = (activity.title, activity.summary, activity.description, activity.theme, activity.audience, *_texts(details.values()))
    return plain(" ".join(said))


def _texts(values: Iterable[object]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, tuple):
            yield from _texts(cast("tuple[object, ...]", value))


def search_words(words: str) -> list[str]:
    """The first ten that say something: no articles, no letter by itself, such as « à »."""
    return [word for word in plain(words).split() if len(word) > 1 and word not in SMALL_WORDS][:10]


def search_patterns(words: str) -> list[str]:
    """LIKE patterns, all of which must match; in parts of words too."""
    escaped = (word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") for word in search_words(words))
    return [f"%{word}%" for word in escaped]
