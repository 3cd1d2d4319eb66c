from services.booking.approval import handlers as approval
from services.booking.attendance import handlers as attendance
from services.booking.audit import handlers as audit
from services.booking.availability import handlers as availability
from services.booking.certificates import handlers as certificates
from services.booking.fairness import handlers as fairness
from services.booking.feedback import handlers as feedback
from services.booking.framing import handlers as framing
from services.booking.groups import handlers as groups
from services.booking.modes import handlers as modes
from services.booking.moves import handlers as moves
from services.booking.names import handlers as names
from services.booking.overbooking import handlers as overbooking
from services.booking.pending import handlers as pending
from services.booking.quorum import handlers as quorum
from services.booking.requests import handlers as tailored
from services.booking.seats import handlers as seats
from services.booking.settings import settings
from services.booking.strikes import handlers as strikes
from shared.service import Service, run


def main() -> None:
    service = Service(
        "booking",
        requests=[
            seats.requests,
            availability.requests,
            overbooking.requests,
            fairness.requests,
            groups.requests,
            names.requests,
            approval.requests,
            modes.requests,
            moves.requests,
            quorum.requests,
            tailored.requests,
            framing.requests,
            attendance.requests,
            certificates.requests,
            strikes.requests,
            feedback.requests,
        ],
        events=[seats.events, names.events, tailored.events, attendance.events, strikes.events],
        timers=[
            seats.timers,
            groups.timers,
            names.timers,
            pending.timers,
            quorum.timers,
            tailored.timers,
            attendance.timers,
            strikes.timers,
            feedback.timers,
        ],
        background=[availability.announce_availability, audit.watch_invariants],
    )
    run(service, settings())


if __name__ == "__main__":
    main()
