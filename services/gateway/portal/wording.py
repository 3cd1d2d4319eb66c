"""How the portal says things in French: dates, places, states. Pure."""

from __future__ import annotations

import re
import unicodedata
from datetime import date, datetime
from zoneinfo import ZoneInfo

from services.gateway.programme.domain import plural
from shared.clock import PARIS
from shared.contracts.attendance import CheckInWay, HalfDay
from shared.contracts.availability import Availability
from shared.contracts.booking import AttendanceOutcome, Booking, BookingState, OfferState, PendingKind, PendingState
from shared.contracts.catalog import DeliveryMode, LocalPeriod, Period
from shared.contracts.groups import GroupBooking, GroupState
from shared.contracts.projects import ApplicationState, EngagementState, EntryKind, Outcome
from shared.contracts.quorum import Quorum, QuorumState

DAYS = ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche")
MONTHS = ("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre")
SHORT_MONTHS = ("janv.", "févr.", "mars", "avril", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.", "déc.")

MODES = {DeliveryMode.IN_PERSON: "En présentiel", DeliveryMode.REMOTE: "À distance", DeliveryMode.HYBRID: "En présentiel et à distance"}

ACTIVITY_STATUSES = {
    "draft": "Brouillon : cette activité n’est pas encore publiée.",
    "published": "Cette activité est publiée ; voici ce qu’en disent ses séances.",
    "archived": "Cette activité est archivée : elle n’est plus au programme.",
}

DEPARTMENTS = {
    "09": "Ariège",
    "11": "Aude",
    "12": "Aveyron",
    "30": "Gard",
    "31": "Haute-Garonne",
    "32": "Gers",
    "34": "Hérault",
    "46": "Lot",
    "48": "Lozère",
    "65": "Hautes-Pyrénées",
    "66": "Pyrénées-Orientales",
    "81": "Tarn",
    "82": "Tarn-et-Garonne",
}

BOOKING_STATES = {
    BookingState.CONFIRMED: "Place confirmée",
    BookingState.WAITING: "En liste d’attente",
    BookingState.CANCELLED_BY_AGENT: "Annulée par vous",
    BookingState.LATE_CANCELLED: "Annulée par vous après la date limite",
    BookingState.CANCELLED_BY_LAB: "Annulée par le Lab",
    BookingState.LEFT: "Vous avez quitté la liste d’attente",
    BookingState.CLOSED: "Liste d’attente close",
}

ATTENDANCE = {
    AttendanceOutcome.ATTENDED: "Vous y étiez",
    AttendanceOutcome.ABSENT: "Absence non excusée",
    AttendanceOutcome.EXCUSED: "Absence excusée",
    AttendanceOutcome.UNKNOWN: "Présence non relevée",
}

CHECK_IN_WAYS = {
    CheckInWay.PERSONAL_QR: "code personnel",
    CheckInWay.ROOM_CODE: "code de la salle",
    CheckInWay.BY_HAND: "saisie à la main",
}

OFFER_STATES = {
    OfferState.OFFERED: "Place proposée",
    OfferState.DECLINED: "Place proposée, laissée à l’agent suivant",
    OfferState.EXPIRED: "Place proposée, restée sans réponse",
}

GROUP_STATES = {
    GroupState.WAITING: "En liste d’attente",
    GroupState.PARTLY_CONFIRMED: "Places confirmées en partie",
    GroupState.CONFIRMED: "Places confirmées",
    GroupState.CANCELLED: "Désinscrit par vous",
    GroupState.RELEASED: "Places rendues, faute de noms",
    GroupState.CLOSED: "Fini avec la séance",
}

PENDING_KINDS = {
    PendingKind.PENDING_APPROVAL: "Accord de votre responsable attendu",
    PendingKind.TO_RECONFIRM: "Place à reconfirmer",
    PendingKind.TO_CONFIRM: "Venue à confirmer",
}

PENDING_ENDS = {
    (PendingKind.PENDING_APPROVAL, PendingState.REFUSED): "Demande refusée par votre responsable",
    (PendingKind.PENDING_APPROVAL, PendingState.EXPIRED): "Demande restée sans réponse de votre responsable",
    (PendingKind.TO_RECONFIRM, PendingState.EXPIRED): "Place rendue, faute de réponse de votre part",
    (PendingKind.TO_CONFIRM, PendingState.EXPIRED): "Place rendue, faute de réponse de votre part",
}

APPROVAL_STATES = {
    PendingState.OPEN: "Cette demande attend une réponse.",
    PendingState.GRANTED: "L’accord est donné : la place est confirmée.",
    PendingState.REFUSED: "La demande est refusée : la place est rendue.",
    PendingState.EXPIRED: "Le délai pour répondre est passé : la place n’est plus gardée.",
    PendingState.CLOSED: "La demande a été retirée, ou la séance annulée.",
}

APPLICATION_STATES = {
    ApplicationState.SUBMITTED: "À l’étude",
    ApplicationState.ACCEPTED: "Acceptée",
    ApplicationState.ACCEPTED_WITH_CONDITIONS: "Acceptée sous conditions",
    ApplicationState.REDIRECTED: "Réorientée",
    ApplicationState.DECLINED: "Non retenue",
}
ENGAGEMENT_STATES = {EngagementState.ACTIVE: "En cours", EngagementState.CLOSED: "Terminé"}
OUTCOMES = {
    Outcome.ADOPTED: "Adopté",
    Outcome.PILOTED: "Expérimenté",
    Outcome.MERGED: "Fusionné avec un autre projet",
    Outcome.HANDED_OVER: "Transmis à un autre service",
    Outcome.ABANDONED: "Abandonné",
}
ENTRY_KINDS = {EntryKind.DECISION: "Décision", EntryKind.OBSTACLE: "Obstacle", EntryKind.LEARNING: "Apprentissage"}


def is_offered(booking: Booking) -> bool:
    return booking.offer is not None and booking.offer.state is OfferState.OFFERED


def is_pending(booking: Booking) -> bool:
    """A seat that is held while somebody is asked."""
    return booking.pending is not None and booking.pending.state is PendingState.OPEN


def awaits_approval(booking: Booking) -> bool:
    return is_pending(booking) and booking.pending is not None and booking.pending.kind is PendingKind.PENDING_APPROVAL


def awaits_word(booking: Booking) -> bool:
    """Of the agent's own: the session moved (M1), or it is full and they have two strikes (N3)."""
    return is_pending(booking) and not awaits_approval(booking)


def asked_why(booking: Booking) -> str:
    """Why their word is awaited."""
    moved = booking.pending is not None and booking.pending.kind is PendingKind.TO_RECONFIRM
    return "La séance a été déplacée" if moved else "La séance est complète"


def reconfirmed(booking: Booking) -> str:
    return f"C’est noté : vous gardez votre place. {BOOKING_STATES[booking.state]}."


def approval_in_words(booking: Booking) -> str:
    """For the line manager: what became of what they were asked."""
    if booking.pending is None or booking.pending.kind is not PendingKind.PENDING_APPROVAL:
        return APPROVAL_STATES[PendingState.GRANTED if booking.state is BookingState.CONFIRMED else PendingState.CLOSED]
    return APPROVAL_STATES.get(booking.pending.state, APPROVAL_STATES[PendingState.CLOSED])


def booking_state(booking: Booking) -> str:
    """Where somebody stands: what became of an offer says more than that the queue was left."""
    if booking.attendance is not None:
        return ATTENDANCE[booking.attendance]
    if is_pending(booking) and booking.pending:
        return PENDING_KINDS[booking.pending.kind]
    if booking.pending and (ended := PENDING_ENDS.get((booking.pending.kind, booking.pending.state))):
        return ended
    if booking.offer and booking.state in (BookingState.WAITING, BookingState.LEFT):
        return OFFER_STATES.get(booking.offer.state, BOOKING_STATES[booking.state])
    return BOOKING_STATES[booking.state]


def answered(booking: Booking) -> str:
    """What is said to somebody who answered an offer, or gave back a seat that the queue had given."""
    if is_pending(booking):
        return "La place vous est gardée. Votre responsable reçoit un courriel : elle sera confirmée dès son accord."
    if booking.state is BookingState.CONFIRMED:
        return "Votre place est confirmée. Confirmation enregistrée, courriel à suivre."
    if booking.state is BookingState.LEFT and booking.offer is None:
        return "C’est noté : vous n’êtes plus en liste d’attente."
    if booking.offer is not None:
        return "C’est noté : la place est proposée à la personne suivante, et vous n’êtes plus en liste d’attente."
    return given_back(booking)


def given_back(booking: Booking) -> str:
    late = (
        " La date limite était passée : cela compte pour une demi-absence, effacée au bout de six mois. "
        "Une maladie ou une nécessité de service ? Signalez-la dans « Mes inscriptions », et elle ne compte pas."
        if booking.state is BookingState.LATE_CANCELLED
        else ""
    )
    return f"Votre place est rendue ; elle va à la personne suivante s’il y en a une.{late}"


def strikes(halves: int) -> str:
    """« une demi-absence », « 1 absence et demie », « 2 absences »."""
    whole, half = divmod(halves, 2)
    if not whole:
        return "une demi-absence"
    return f"{whole} absence{'s' if whole > 1 else ''}{' et demie' if half else ''}"


def offered_to_group(group: GroupBooking) -> str:
    kept = "sont gardées" if group.seats_held > 1 else "est gardée"
    return f"{seats(group.seats_held)} sur les {group.seats_awaited} que le groupe attend {kept}"


def answered_for_group(group: GroupBooking, *, taken: bool) -> str:
    if not taken:
        return "C’est noté : ces places vont aux suivants de la liste d’attente, et le groupe garde son rang."
    rest = f" Le groupe garde son rang pour {'les autres' if group.seats_awaited > 1 else 'la dernière'}." if group.seats_awaited else ""
    return f"C’est noté : {seats(group.seats_unnamed + group.seats_named)} au groupe.{rest} Courriel à suivre."


def group_lines(group: GroupBooking) -> list[str]:
    """Where a group stands, a line for each thing that can be said of it."""
    lines = [f"{GROUP_STATES[group.state]}, {seats(group.seats_needed)} demandée{'s' if group.seats_needed > 1 else ''}."]
    if given := group.seats_unnamed + group.seats_named:
        lines.append(f"Au groupe : {seats(given)}.")
    if group.seats_unnamed and group.names_due_at:
        lines.append(f"Sans nom : {seats(group.seats_unnamed)}, à nommer avant le {instant(group.names_due_at)}.")
    if group.seats_awaited:
        lines.append(f"En attente : {seats(group.seats_awaited)}, au rang {group.rank} sur {group.waiting}.")
    if group.seats_held:
        until = group.offer.deadline if group.offer else group.holds_until
        lines.append(f"Gardées pour lui : {seats(group.seats_held)}" + (f", jusqu’au {instant(until)}." if until else "."))
    if group.reason:
        lines.append(sentence(group.reason))
    return lines


def seats(number: int) -> str:
    return f"{number} place{'s' if number > 1 else ''}"


def places_left(left: int, waiting: int) -> str:
    """Of one mode of a hybrid session (B9)."""
    if left:
        return f"{left} place{plural(left)} restante{plural(left)}"
    return f"complet, {waiting} en attente" if waiting else "complet, liste d’attente ouverte"


def not_open(seats: Availability, now: datetime) -> str | None:
    """Why newcomers cannot book now, if they cannot (B6)."""
    if seats.opens_at is not None and now < seats.opens_at:
        return f"Les inscriptions ouvrent le {instant(seats.opens_at)}."
    if seats.closes_at is not None and now >= seats.closes_at:
        return f"Les inscriptions sont closes depuis le {instant(seats.closes_at)}."
    return None


def quorum(of: Quorum) -> str:
    """Whether the session takes place, as far as one can know (M3)."""
    match of.state:
        case QuorumState.OPEN:
            people = f"{of.needed} personnes sont inscrites" if of.needed > 1 else "une personne est inscrite"
            return f"Cette séance aura lieu si au moins {people} le {instant(of.decides_at)}."
        case QuorumState.MISSED:
            return "Trop peu de personnes se sont inscrites : cette séance va être annulée."
        case _:
            return "Cette séance aura bien lieu."


def rank_again(rank: int) -> str:
    """What joining again would give (W3)."""
    return f"En vous réinscrivant, vous seriez au rang {rank}." if rank else "En vous réinscrivant maintenant, vous auriez une place."


def weekday(day: date) -> str:
    return DAYS[day.weekday()]


def month_of(day: date) -> str:
    return f"{MONTHS[day.month - 1]} {day.year}"


def long_day(day: date) -> str:
    """« jeudi 1er avril 2027 »."""
    number = "1er" if day.day == 1 else str(day.day)
    return f"{weekday(day)} {number} {month_of(day)}"


def hour(moment: datetime) -> str:
    """« 14 h » or « 12 h 30 »."""
    return f"{moment.hour} h {moment.minute:02}" if moment.minute else f"{moment.hour} h"


def instant(moment: datetime) -> str:
    """« jeudi 14 janvier 2027 à 12 h 30 », on the clocks of Paris."""
    local = moment.astimezone(PARIS)
    return f"{long_day(local.date())} à {hour(local)}"


def period(of: Period) -> str:
    """« jeudi 18 mars 2027 de 14 h à 17 h 30 », on the clocks of the place."""
    zone = ZoneInfo(of.zone)
    start, end = of.starts_at.astimezone(zone), of.ends_at.astimezone(zone)
    elsewhere = "" if zone == PARIS else f" (heure de {of.zone})"
    if start.date() == end.date():
        return f"{long_day(start.date())} de {hour(start)} à {hour(end)}{elsewhere}"
    return f"du {long_day(start.date())} à {hour(start)} au {long_day(end.date())} à {hour(end)}{elsewhere}"


def half_day(of: HalfDay) -> str:
    """« jeudi 18 mars 2027, matin »."""
    return f"{long_day(of.day)}, {'matin' if of.part == 'morning' else 'après-midi'}"


def local_period(of: LocalPeriod) -> str:
    """As `period`, of one whose instants nobody has derived yet."""
    zone = ZoneInfo(of.zone)
    starts_at, ends_at = of.local_start.replace(tzinfo=zone), of.local_end.replace(tzinfo=zone)
    return period(Period(**of.model_dump(), starts_at=starts_at, ends_at=ends_at))


def hours(of: Period) -> str:
    """« 14 h – 17 h 30 », for lists where the day stands beside."""
    zone = ZoneInfo(of.zone)
    return f"{hour(of.starts_at.astimezone(zone))} – {hour(of.ends_at.astimezone(zone))}"


def between(of: HalfDay) -> str:
    """« de 9 h à 12 h 30 », on the clocks of Paris."""
    return f"de {hour(of.starts_at.astimezone(PARIS))} à {hour(of.ends_at.astimezone(PARIS))}"


def sortable(name: str) -> str:
    """For the order of a list: accents and case do not matter."""
    return unicodedata.normalize("NFD", name).encode("ascii", "ignore").decode().casefold()


def department(code: str) -> str:
    return f"{DEPARTMENTS[code]} ({code})" if code in DEPARTMENTS else f"Département {code}"


def sentence(words: str) -> str:
    """With a capital and a full stop."""
    return f"{words[:1].upper()}{words[1:].rstrip('.')}."


def bound(words: str) -> str:
    """Signs that follow a blank in French stay with their word: no line begins with a colon."""
    return re.sub(r" (?=[:;!?»])|(?<=«) ", "\N{NO-BREAK SPACE}", words)
