"""The programme: seats in plain words, what a search finds, and projections that keep the newest (E4, P6)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.gateway.programme import handlers, queries
from services.gateway.programme.domain import CursorInvalid, ListedSession, plain, search_patterns
from services.gateway.programme.queries import Filters
from shared.consumers import Received, apply
from shared.contracts.availability import SessionAvailabilityChanged
from shared.contracts.catalog import (
    ActivityPublished,
    ActivityType,
    DeliveryMode,
    Period,
    SessionCancelled,
    SessionRescheduled,
    SessionScheduled,
    SessionState,
    VenueSheet,
)
from shared.contracts.messages import Envelope, Event
from shared.database import Database
from shared.inbox import Delivery
from shared.outbox import uuid7

NOW = datetime(2027, 3, 1, 8, tzinfo=UTC)
START = datetime(2027, 3, 18, 13, tzinfo=UTC)


def a_session(**changed: Any) -> SessionState:
    start: datetime = changed.pop("start", START)
    local = start.replace(tzinfo=None) + timedelta(hours=1)
    period = Period(local_start=local, local_end=local + timedelta(hours=3), starts_at=start, ends_at=start + timedelta(hours=3))
    venue = VenueSheet(
        venue_id=uuid4(), name="La Halle", address="1 rue", city="Nîmes", department=changed.pop("department", "30"), step_free_access=True
    )
    given: dict[str, Any] = {
        "session_id": uuid4(),
        "version": 1,
        "activity_id": uuid4(),
        "activity_type": ActivityType.TRAINING,
        "title": "Pitcher en 5 minutes",
        "summary": "",
        "theme": "Oral",
        "delivery_mode": DeliveryMode.IN_PERSON,
        "venue": venue,
        "periods": (period,),
        "capacity": 12,
        "status": "scheduled",
    }
    return SessionState(**given | changed)


# --- seats in words ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "waiting", "words"),
    [
        (0, 0, "12 places restantes"),
        (11, 0, "1 place restante"),
        (12, 0, "complet, liste d’attente ouverte"),
        (12, 1, "complet, 1 personne en attente"),
        (12, 12, "complet, 12 personnes en attente"),
        (11, 3, "complet, 3 personnes en attente"),  # B2: the free seat is not a newcomer's
        (14, 0, "complet, liste d’attente ouverte"),  # B8: capacity lowered under held
    ],
)
def test_seats_are_said_in_words(held: int, waiting: int, words: str) -> None:
    assert ListedSession(a_session(), held=held, waiting=waiting).seats_in_words(NOW) == words


def test_what_is_over_or_cancelled_offers_no_seat() -> None:
    cancelled = ListedSession(a_session(status="cancelled", cancellation_reason="grève"))

    assert (cancelled.seats_in_words(NOW), cancelled.seats_left) == ("séance annulée", 0)
    assert ListedSession(a_session()).seats_in_words(START) == "séance commencée"
    assert ListedSession(a_session()).seats_in_words(START + timedelta(hours=3)) == "séance passée"


# --- search ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "found"), [("Événement", "evenement"), ("Cœur", "coeur"), ("  L’ÉTÉ\n", "l'ete"), ("a\0b", "ab")])
def test_accents_ligatures_and_case_do_not_matter(text: str, found: str) -> None:
    assert plain(text) == found


def test_signs_of_the_search_language_are_ordinary_characters() -> None:
    assert search_patterns("100% a_b x\\") == ["%100\\%%", "%a\\_b%", "%x\\\\%"]


# --- projections and list ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def gateway(database: Callable[[str], Awaitable[Database]]) -> Database:
    return await database("gateway")


PROGRAMME, AVAILABILITY = handlers.events.all


async def hear(gateway: Database, event: Event) -> str:
    envelope = Envelope.of(event, event_id=uuid7(), time=datetime.now(UTC))
    consumer = AVAILABILITY if isinstance(event, SessionAvailabilityChanged) else PROGRAMME
    async with gateway.begin() as tx:
        return await apply(consumer, Received(event, envelope, Delivery(event.stream(), 1, event.subject, {}, b"")), tx)


async def scheduled(gateway: Database, **changed: Any) -> SessionState:
    session = a_session(**changed)
    await hear(gateway, SessionScheduled(version=session.version, session_id=session.session_id, session=session))
    return session


async def listed(gateway: Database, *, limit: int = 50, cursor: str | None = None, **filters: Any) -> list[UUID]:
    given: dict[str, Any] = {"since": NOW}
    async with gateway.connect() as connection:
        page = await queries.list_sessions(connection, Filters(**given | filters), limit=limit, cursor=cursor)
    return [each.session_id for each in page.sessions]


def counters(session: SessionState, version: int, held: int, waiting: int = 0) -> SessionAvailabilityChanged:
    return SessionAvailabilityChanged(
        version=version, session_id=session.session_id, session_sequence=version, capacity=session.capacity, held=held, waiting=waiting
    )


async def test_E4_an_older_state_that_comes_late_is_ignored(gateway: Database) -> None:
    session = await scheduled(gateway)
    moved = session.model_copy(update={"version": 3, "title": "Titre déplacé"})
    older = session.model_copy(update={"version": 2, "title": "Titre ancien"})

    results = [
        await hear(
            gateway,
            SessionRescheduled(
                version=state.version, session_id=session.session_id, session=state, previous_periods=session.periods, previous_capacity=12
            ),
        )
        for state in (moved, older)
    ]

    assert results == ["applied", "stale"]
    async with gateway.connect() as connection:
        assert (await queries.read_sessions(connection, [session.session_id]))[session.session_id].session.title == "Titre déplacé"


async def test_an_activity_and_its_sessions_do_not_wait_for_each_other(gateway: Database) -> None:
    session = await scheduled(gateway, version=5)
    activity = ActivityPublished(
        version=1,
        activity_id=session.activity_id,
        activity_type=session.activity_type,
        title=session.title,
        summary="",
        description="Du théâtre forum.",
        theme="Oral",
        delivery_mode=session.delivery_mode,
    )

    assert await hear(gateway, activity) == "applied"

    assert await listed(gateway, words="theatre") == [session.session_id]


async def test_counters_may_come_before_the_session(gateway: Database) -> None:
    session = a_session()
    await hear(gateway, counters(session, 2, 12, 4))
    await hear(gateway, counters(session, 1, 3))
    await hear(gateway, SessionScheduled(version=1, session_id=session.session_id, session=session))

    async with gateway.connect() as connection:
        found = (await queries.read_sessions(connection, [session.session_id]))[session.session_id]
    assert (found.held, found.waiting) == (12, 4)


async def test_E8_hearing_everything_again_changes_nothing(gateway: Database) -> None:
    session = await scheduled(gateway)

    assert await hear(gateway, SessionScheduled(version=1, session_id=session.session_id, session=session)) == "stale"


async def test_G5_a_private_session_is_not_listed(gateway: Database) -> None:
    public = await scheduled(gateway)
    await scheduled(gateway, private=True)

    assert await listed(gateway) == [public.session_id]


async def test_filters_keep_what_they_say(gateway: Database) -> None:
    training = await scheduled(gateway)
    talk = await scheduled(
        gateway,
        activity_type=ActivityType.INNOVATION_THURSDAY,
        title="Juries citoyens",
        department="31",
        delivery_mode=DeliveryMode.HYBRID,
        start=START + timedelta(days=1),
    )
    cancelled = a_session(status="cancelled", cancellation_reason="grève", version=2, start=START + timedelta(days=2))
    await hear(gateway, SessionCancelled(version=2, session_id=cancelled.session_id, session=cancelled, reason="grève"))
    await hear(gateway, counters(talk, 1, 12))

    assert await listed(gateway) == [training.session_id, talk.session_id, cancelled.session_id]
    assert await listed(gateway, activity_type=ActivityType.TRAINING) == [training.session_id, cancelled.session_id]
    assert await listed(gateway, delivery_mode=DeliveryMode.HYBRID) == [talk.session_id]
    assert await listed(gateway, department="31") == [talk.session_id]
    assert await listed(gateway, words="clown CITOYEN") == []
    assert await listed(gateway, words="citoyen nîmes") == [talk.session_id]
    assert await listed(gateway, since=START + timedelta(hours=1)) == [talk.session_id, cancelled.session_id]
    assert await listed(gateway, only_free=True) == [training.session_id]
    async with gateway.connect() as connection:
        assert await queries.count_hidden(connection, Filters(since=NOW, only_free=True)) == 2
        facets = await queries.read_facets(connection, Filters(since=NOW, department="31"))
    assert facets.departments == {"30": 2, "31": 1}  # its own choice is left open, the others hold
    assert facets.activity_types == {"innovation_thursday": 1}
    assert facets.delivery_modes == {"hybrid": 1}
    assert facets.themes == {"Oral": 1}


@pytest.mark.parametrize("words", ["evaluer les politiques", "ÉVALUATIONS politique", "évalu", "l’évaluation à politique", "evalation"])
async def test_words_are_found_by_their_stems_without_accents_in_parts_and_nearly(gateway: Database, words: str) -> None:
    session = await scheduled(gateway, title="L’évaluation d’une politique publique")
    await scheduled(gateway, title="Information des usagers")

    assert await listed(gateway, words=words) == [session.session_id]


async def test_what_only_comes_near_says_so_and_has_no_next_page(gateway: Database) -> None:
    for number in range(3):
        await scheduled(gateway, title="Facilitation graphique", start=START + timedelta(days=number))

    async with gateway.connect() as connection:
        near = await queries.list_sessions(connection, Filters(since=NOW, words="facilitaton"), limit=2)
        exact = await queries.list_sessions(connection, Filters(since=NOW, words="facilitation"), limit=2)
        far = await queries.list_sessions(connection, Filters(since=NOW, words="pétanque"), limit=2)

    assert (near.near, len(near.sessions), near.next_cursor) == (True, 2, None)
    assert (exact.near, len(exact.sessions), exact.next_cursor is None) == (False, 2, False)
    assert (far.near, far.sessions) == (False, ())


async def test_a_theme_and_a_last_day_are_filters_too(gateway: Database) -> None:
    oral = await scheduled(gateway)
    later = await scheduled(gateway, theme="Données", start=START + timedelta(days=1))

    assert await listed(gateway, theme="Données") == [later.session_id]
    assert await listed(gateway, until=START + timedelta(hours=1)) == [oral.session_id]


async def test_pages_neither_repeat_nor_hide(gateway: Database) -> None:
    sessions = [await scheduled(gateway, start=START + timedelta(days=number // 3)) for number in range(8)]
    seen: list[UUID] = []
    cursor = None

    while True:
        async with gateway.connect() as connection:
            page = await queries.list_sessions(connection, Filters(since=NOW), limit=3, cursor=cursor)
        seen += [each.session_id for each in page.sessions]
        if (cursor := page.next_cursor) is None:
            break

    assert len(seen) == 8
    assert set(seen) == {session.session_id for session in sessions}


@pytest.mark.parametrize("cursor", ["x", "éé", "MjAyNw", "OTk5OS0xMi0zMVQyMzo1OTo1OSswMDowMCAw", "\0"])
def test_a_cursor_that_is_not_ours_is_refused(cursor: str) -> None:
    with pytest.raises(CursorInvalid):
        queries.read_cursor(cursor)
