from services.booking.seats import handlers as seats
from shared.service import Service, run
from shared.settings import Settings


def main() -> None:
    service = Service(
        "booking",
        requests=[seats.requests],
        events=[seats.events],
        timers=[seats.timers],
        background=[seats.announce_availability],
    )
    run(service, Settings(service="booking"))


if __name__ == "__main__":
    main()
