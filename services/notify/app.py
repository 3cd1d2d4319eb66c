from __future__ import annotations

from services.notify.attendance import handlers as attendance
from services.notify.bounces import handlers as bounces
from services.notify.feeds import handlers as feeds
from services.notify.mail import handlers, sender
from services.notify.news import handlers as news
from services.notify.preferences import handlers as preferences
from services.notify.reminders import handlers as reminders
from services.notify.settings import NotifySettings
from services.notify.tailored import handlers as tailored
from services.notify.tchap import handlers as tchap
from services.notify.tchap.sender import tell_the_room
from services.notify.webhooks import handlers as webhooks
from services.notify.webhooks.sender import send_webhooks
from shared.service import Service, run


def main() -> None:
    service = Service(
        "notify",
        requests=[handlers.requests, reminders.requests, preferences.requests, feeds.requests, bounces.requests, webhooks.requests],
        events=[handlers.events, attendance.events, tailored.events, bounces.events, webhooks.events, tchap.events],
        timers=[reminders.timers, news.timers],
        background=[sender.send_mails, bounces.forget_old_mails, send_webhooks, tell_the_room],
    )
    run(service, NotifySettings())


if __name__ == "__main__":
    main()
