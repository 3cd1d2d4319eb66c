"""What bookings of seats, and of ranks in a queue, are refused with."""

from __future__ import annotations

from shared.errors import Refused


class SessionNotReady(Refused):
    """Its `session.scheduled` has not arrived: never a 404, which would look final (E1)."""

    code, status, retryable, retry_after = "session_not_ready", 409, True, 1
    title = "Cette séance n'est pas encore ouverte aux inscriptions : réessayez dans quelques instants."


class SessionStarted(Refused):
    code = "session_started"
    title = "Cette séance a déjà commencé."


class SessionIsCancelled(Refused):
    code = "session_is_cancelled"
    title = "Cette séance est annulée."


class BookingNotOpenYet(Refused):  # travels with `opens_at` (B6)
    code = "booking_not_open_yet"
    title = "Les inscriptions à cette séance ne sont pas encore ouvertes."


class QuotaTaken(Refused):
    """Travels with `opens_at`, when everybody may book (W1)."""

    code = "quota_taken"
    title = "Les places réservées de cette séance sont prises, et les inscriptions ne sont pas encore ouvertes à tous."


class BookingClosed(Refused):
    """Travels with `closes_at` (B6). The queue is served all the same."""

    code = "booking_closed"
    title = "Les inscriptions à cette séance sont closes."


class AlreadyBooked(Refused):  # travels with `booking_id`, the place that the agent has (B3)
    code = "already_booked"
    title = "Vous avez déjà une place ou un rang dans la liste d'attente de cette séance."


class NoRemotePlaces(Refused):  # B9
    code = "no_remote_places"
    title = "Cette séance ne se suit pas à distance."


class NoSeatToSwap(Refused):
    """A rank in a queue may overlap with a seat: it needs no exchange (B5)."""

    code = "no_seat_to_swap"
    title = "Il n'y a pas de place libre à prendre en échange : vous gardez la vôtre."


class BookingUnknown(Refused):
    """Also the answer to whoever asks for another agent's booking."""

    code, status = "booking_unknown", 404
    title = "Cette inscription n'existe pas."


class BookingNotActive(Refused):
    code = "booking_not_active"
    title = "Cette inscription est déjà terminée."
