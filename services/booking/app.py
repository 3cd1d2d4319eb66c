from services.booking.framing import handlers as framing
from services.booking.requests import handlers as tailored
from services.booking.seats import handlers as seats
from shared.service import Service, run
from shared.settings import Settings


def main() -> None:
    service = Service(
        "booking",
        requests=[seats.requests, tailored.requests, framing.requests],
        events=[seats.events, tailored.events],
        timers=[seats.timers, tailored.timers],
        background=[seats.announce_availability],
    )
    run(service, Settings(service="booking"))


if __name__ == "__main__":
    main()
