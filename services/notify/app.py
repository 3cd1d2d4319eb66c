from __future__ import annotations

from services.notify.attendance import handlers as attendance
from services.notify.mail import handlers, sender
from services.notify.settings import NotifySettings
from services.notify.tailored import handlers as tailored
from shared.service import Service, run


def main() -> None:
    service = Service(
        "notify",
        requests=[handlers.requests],
        events=[handlers.events, attendance.events, tailored.events],
        background=[sender.send_mails],
    )
    run(service, NotifySettings())


if __name__ == "__main__":
    main()
