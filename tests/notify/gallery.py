"""Every mail that Lab-O writes, as its reader sees it: `python -m tests.notify.gallery FOLDER` writes each as text, HTML and picture.

Pictures need Debian's Chromium; without it there are none.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

from pydantic import SecretStr

from services.notify.calendars.entries import Entry, uid_of
from services.notify.mail import compose
from services.notify.mail.claims import Mail
from services.notify.mail.compose import Item, Writer
from services.notify.mail.domain import ATTENDANCE, CANCELLATIONS, MOVES, TO_MANAGERS, Before, Known, MailKind, calendar_part
from services.notify.mail.letters import Links
from services.notify.tailored.domain import LAB
from shared.contracts.booking import BookingState, PendingKind
from shared.contracts.catalog import ActivityType, LocalPeriod, SessionState
from shared.contracts.gateway import Contact
from shared.contracts.groups import GroupState
from shared.contracts.reminders import JoiningInstructions
from shared.contracts.tailored import Proposal, ProposalState, RequestState, TailoredRequest
from tests.notify.given import FRIDAY, HALL, IN_APRIL, LIBRARY, THURSDAY, a_session

NOW = datetime(2027, 3, 4, 8, tzinfo=UTC)
MAIL, BOOKING, READER, SESSION = UUID(int=1), UUID(int=2), UUID(int=3), UUID(int=4)
WRITER = Writer("lab-o@exemple.invalid", "equipe@exemple.invalid", Links.of("https://lab-o.exemple.invalid/", SecretStr("notify's")))
SOMEBODY = Contact(agent_id=READER, given_name="Garonne", usual_name="Saule-Têtard", email="garonne@exemple.invalid")
NO_AGENT = Contact(agent_id=READER, given_name="", usual_name="", email="accueil@exemple.invalid")
APPLICANT = "Ariège Noisetier"
"""Whose seat a line manager is asked about: the only name of somebody else in any mail."""

TRAINING = a_session(SESSION, THURSDAY, IN_APRIL)
IN_RODEZ = a_session(UUID(int=5), FRIDAY, title="La facilitation graphique", venue=LIBRARY)
ONLINE = a_session(
    UUID(int=6), FRIDAY, title="Jeudi de l'innovation : le langage clair", venue=None, activity_type=ActivityType.INNOVATION_THURSDAY
)
JOINING = JoiningInstructions(
    session_id=SESSION, bring="un carnet", access="3e étage, sonnette « Lab »", video_url="https://visio.exemple.invalid/x"
)
NO_INSTRUCTIONS = JoiningInstructions(session_id=SESSION)
MONDAY = datetime(2027, 3, 15, 10, 30, tzinfo=UTC)

ENDED: dict[MailKind, BookingState | GroupState] = {
    MailKind.WAITLIST_JOINED: BookingState.WAITING,
    MailKind.OFFER_MADE: BookingState.WAITING,
    MailKind.OFFER_EXPIRED: BookingState.LEFT,
    MailKind.BOOKING_CANCELLED: BookingState.CANCELLED_BY_AGENT,
    MailKind.CANCELLED_BY_LAB: BookingState.CANCELLED_BY_LAB,
    MailKind.SEAT_WITHDRAWN: BookingState.CANCELLED_BY_LAB,
    MailKind.APPROVAL_REFUSED: BookingState.CANCELLED_BY_LAB,
    MailKind.APPROVAL_LAPSED: BookingState.CANCELLED_BY_LAB,
    MailKind.SEAT_RELEASED: BookingState.CANCELLED_BY_LAB,
    MailKind.WAITLIST_CLOSED: BookingState.CLOSED,
    MailKind.GROUP_WAITING: GroupState.WAITING,
    MailKind.GROUP_CONFIRMED: GroupState.CONFIRMED,
    MailKind.GROUP_OFFERED: GroupState.WAITING,
    MailKind.GROUP_CANCELLED: GroupState.CANCELLED,
    MailKind.GROUP_CLOSED: GroupState.CLOSED,
    MailKind.GROUP_NAMES_DUE: GroupState.CONFIRMED,
    MailKind.GROUP_RELEASED: GroupState.CONFIRMED,
}
"""What the booking has become; in every other mail a seat is theirs."""

DETAILS: dict[MailKind, list[dict[str, Any]]] = {
    MailKind.WAITLIST_JOINED: [{"rank": 3}],
    MailKind.WAITLIST_PROMOTED: [{"reason": "premier de la liste d'attente"}],
    MailKind.OFFER_MADE: [{"reason": "priorité : votre session précédente a été annulée", "deadline": MONDAY.isoformat()}],
    MailKind.OFFER_EXPIRED: [{"reason": "pas de réponse avant le lundi 15 mars 2027 à 11 h 30", "deadline": MONDAY.isoformat()}],
    MailKind.CANCELLED_BY_LAB: [{"reason": "intervenante empêchée", "priority_until": "2027-09-15T08:00:00+00:00"}, {}],
    MailKind.SEAT_WITHDRAWN: [{"reason": "la salle a deux places de moins", "priority_until": "2027-09-15T08:00:00+00:00"}],
    MailKind.WAITLIST_CLOSED: [{"reason": "la séance a commencé"}],
    MailKind.APPROVAL_REQUESTED: [{"deadline": MONDAY.isoformat(), "reason": ""}, {"deadline": MONDAY.isoformat(), "moved": True}],
    MailKind.APPROVAL_ASKED: [{"deadline": MONDAY.isoformat()}, {"deadline": MONDAY.isoformat(), "moved": True}],
    MailKind.APPROVAL_LAPSED: [{"deadline": MONDAY.isoformat()}],
    MailKind.APPROVAL_REFUSED: [{"reason": "votre responsable n'a pas donné son accord, le 4 mars 2027 à 15 h"}],
    MailKind.SEAT_RELEASED: [{"deadline": MONDAY.isoformat(), "question": question} for question in PendingKind],
    MailKind.SEAT_TO_RECONFIRM: [{"deadline": MONDAY.isoformat(), "silence_keeps": keeps} for keeps in (True, False)],
    MailKind.SEAT_TO_CONFIRM: [{"deadline": MONDAY.isoformat(), "silence_keeps": False}],
    MailKind.GROUP_WAITING: [{"rank": 2, "seats_needed": 14}],
    MailKind.GROUP_CONFIRMED: [
        {"seats_added": 12, "seats_awaited": 2, "names_due_at": MONDAY.isoformat()},
        {"seats_added": 12, "seats_awaited": 0},
    ],
    MailKind.GROUP_NAMES_DUE: [{"seats_unnamed": unnamed, "names_due_at": MONDAY.isoformat()} for unnamed in (1, 5)],
    MailKind.GROUP_RELEASED: [{"seats_released": released} for released in (1, 5)],
    MailKind.BOOKING_CONFIRMED: [{}, {"of_group": True}],
    MailKind.MODE_CHANGED: [{"remote": True}, {"remote": False}],
    MailKind.BOOKING_CANCELLED: [{}, {"reason": "votre place a été confiée à une autre personne de votre administration"}],
    MailKind.GROUP_OFFERED: [{"seats_held": 5, "seats_awaited": 12, "deadline": MONDAY.isoformat()}],
    MailKind.GROUP_CLOSED: [{"reason": "intervenante empêchée"}],
    MailKind.SHEET_ENTRUSTED: [{"expires_at": "2027-04-01T08:00:00+00:00"}],
    MailKind.SHEET_OVERDUE: [{"expires_at": "2027-04-01T08:00:00+00:00", "unknown_at": "2027-03-25T08:00:00+00:00"}],
    MailKind.FEEDBACK_HOT: [{"invitation_id": str(uuid4()), "open_until": "2027-04-01T16:00:00+00:00"}],
    MailKind.FEEDBACK_COLD: [{"invitation_id": str(uuid4()), "open_until": "2027-07-18T07:00:00+00:00"}],
    MailKind.CERTIFICATE_AVAILABLE: [{"issued_at": "2027-03-19T08:00:00+00:00"}],
    MailKind.APPLICATION_DECIDED: [{"state": state} for state in ("accepted", "accepted_with_conditions", "redirected", "declined")],
    MailKind.ENGAGEMENT_STARTED: [{"part": part, "starts_on": "2027-04-01", "planned_end_on": "2027-07-01"} for part in ("lead", "coach")],
    MailKind.ENGAGEMENT_CLOSED: [
        {"part": "lead", "outcome": "adopted", "has_lessons_learned": True},
        {"part": "coach", "outcome": "abandoned", "has_lessons_learned": False},
    ],
}
"""What each mail is told besides, once for each of its variants."""

PROPOSAL = Proposal(
    proposal_id=UUID(int=7),
    activity_id=UUID(int=8),
    periods=(LocalPeriod(local_start=datetime(2027, 4, 8, 14), local_end=datetime(2027, 4, 8, 16)),),  # noqa: DTZ001 - of the wall
    place="La Chambre témoin, Nîmes",
    capacity=6,
    cost="Gratuit.",
    carbon="28 kg de CO2 en train.",
    host_contact_id=UUID(int=9),
    state=ProposalState.ASKED,
)
READY = PROPOSAL.model_copy(update={"proposal_id": UUID(int=10), "state": ProposalState.READY})
REQUEST = TailoredRequest(
    tailored_request_id=UUID(int=11),
    version=1,
    state=RequestState.PROPOSED,
    activity_type=ActivityType.LABTOUR,
    agent_id=READER,
    org_unit="prefecture-30",
    wishes="Voir comment un lieu essaie.",
    participants=6,
    access_needs="Une personne en fauteuil",
    earliest=date(2027, 3, 1),
    latest=date(2027, 6, 30),
    submitted_at=NOW,
    answer_due_at=NOW + timedelta(days=5),
    proposals_expire_at=MONDAY,
    reason="La structure d'accueil s'est désistée.",
    redirection="La formation du 18 mars.",
    proposals=(READY, PROPOSAL),
)


def specimens() -> Iterator[tuple[str, MailKind, EmailMessage]]:
    """Each kind in each of its variants, under a name of its own."""
    for kind in MailKind:
        for number, details in enumerate(DETAILS.get(kind, [{}])):
            yield f"{kind}_{number + 1}" if number else str(kind), kind, written(kind, details)


def written(kind: MailKind, details: Mapping[str, Any]) -> EmailMessage:
    common: dict[str, Any] = {"mail_id": MAIL, "contact": SOMEBODY, "now": NOW}
    if kind.startswith(("application", "engagement")):
        return compose.about_project(WRITER, kind=kind, details=details, **common)
    if kind.startswith(("tailored", "host")):
        return tailored(kind, common)
    if kind in ATTENDANCE:
        return compose.about_attendance(WRITER, a_mail(kind, details), TRAINING, SOMEBODY, NOW)
    if kind is MailKind.NEWS:
        return compose.about_news(WRITER, sessions=[TRAINING, IN_RODEZ, ONLINE], **common)
    if kind is MailKind.DIGEST:
        waiting = Item(MailKind.WAITLIST_JOINED, {"rank": 2}, Known(BookingState.WAITING, IN_RODEZ, told=0), NO_INSTRUCTIONS)
        reminder = Item(MailKind.REMINDER, {}, Known(BookingState.CONFIRMED, TRAINING, told=0), JOINING)
        return compose.digest(WRITER, items=[waiting, reminder], **common)
    return about_session(kind, details, common)


def about_session(kind: MailKind, details: Mapping[str, Any], common: dict[str, Any]) -> EmailMessage:
    over = kind in CANCELLATIONS and "reason" in details and kind is not MailKind.APPROVAL_REFUSED
    session: SessionState = (
        TRAINING.model_copy(update={"status": "cancelled", "cancellation_reason": details["reason"]}) if over else TRAINING
    )
    booking = ENDED.get(kind, BookingState.CONFIRMED)
    before = Before((FRIDAY, IN_APRIL), LIBRARY) if kind in MOVES else None
    waits = PendingKind.PENDING_APPROVAL if kind in (MailKind.APPROVAL_REQUESTED, *TO_MANAGERS) else None
    session = session.followed(remote=details.get("remote", False))
    known = Known(booking, session, told=0, before=before, move_reason="la salle est en travaux" if before else "", pending=waits)
    calendar = calendar_part(kind, booking)
    status = "cancelled" if calendar == "CANCEL" else "confirmed"
    entries = [
        Entry(index, uid_of(SESSION, index, READER), 1, status, period.starts_at, period.ends_at, f"{HALL.name}, {HALL.city}")
        for index, period in enumerate(session.periods)
    ]
    to_manager = kind in TO_MANAGERS
    common["contact"] = NO_AGENT if to_manager else SOMEBODY
    return compose.about_session(
        WRITER,
        kind=kind,
        booking_id=BOOKING,
        details=details,
        known=known,
        entries=entries if calendar else [],
        joining=JOINING,
        applicant=APPLICANT if to_manager else "",
        **common,
    )


def tailored(kind: MailKind, common: dict[str, Any]) -> EmailMessage:
    to_lab = kind in (MailKind.TAILORED_TO_ANSWER, MailKind.TAILORED_OVERDUE, MailKind.TAILORED_WITHDRAWN)
    lab = Contact(agent_id=LAB, given_name="", usual_name="l’équipe du Lab-O", email="equipe@exemple.invalid")
    common["contact"] = lab if to_lab else NO_AGENT if kind.startswith("host") else SOMEBODY
    return compose.about_tailored_request(
        WRITER,
        kind=kind,
        request=REQUEST,
        proposal_id=PROPOSAL.proposal_id if kind.startswith("host") else None,
        **common,
    )


def a_mail(kind: MailKind, details: Mapping[str, Any]) -> Mail:
    return Mail(MAIL, MAIL, kind, READER, BOOKING, SESSION, details, attempts=0, created_at=NOW, traceparent=None)


def content(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    return cast("str", part.get_content())


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    browser = shutil.which("chromium")
    for name, _, message in specimens():
        (folder / f"{name}.txt").write_text(f"{message['Subject']}\n\n{content(message, 'plain')}")
        page = folder / f"{name}.html"
        page.write_text(content(message, "html"))
        if browser:
            shot = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=680,900"]
            subprocess.run(
                [browser, *shot, f"--screenshot={page.with_suffix('.png')}", page.resolve().as_uri()], check=True, capture_output=True
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
