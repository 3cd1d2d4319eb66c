"""One mail, from its claim to its outcome: ask for the address, look again, say `sending`, send, settle."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import TypeVar
from uuid import UUID

from prometheus_client import Counter, Histogram
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify import rounds
from services.notify.alternatives.finding import alternatives
from services.notify.bounces import store as bounces
from services.notify.calendars import entries as calendar_entries
from services.notify.calendars.entries import Entry
from services.notify.gathering import decide as gathering
from services.notify.gathering import store as gathering_store
from services.notify.mail import claims, compose
from services.notify.mail.claims import Mail, Outcome
from services.notify.mail.compose import Item, Unsendable, Writer
from services.notify.mail.domain import (
    ATTENDANCE,
    Known,
    MailKind,
    calendar_part,
    place,
    reason_not_to_remind,
    reason_to_drop,
    settles_the_dates,
)
from services.notify.mail.patience import pause_before_retry
from services.notify.mail.smtp import Envelope, Line, MailRefused, NoServer, RecipientRefused, TryLater, Uncertain
from services.notify.news import store as news
from services.notify.news.domain import worth_telling
from services.notify.reminders import store as reminders
from services.notify.rounds import Begin
from services.notify.settings import NotifySettings
from services.notify.tailored import domain as tailored
from services.notify.tailored.domain import LAB
from shared import clock, outbox, telemetry
from shared.bus import Bus, Caller
from shared.contracts.catalog import SessionState
from shared.contracts.gateway import Contact, GetContact
from shared.contracts.messages import Message, Request
from shared.contracts.notify import DeliveryBounced
from shared.contracts.tailored import GetTailoredRequest, TailoredRequest
from shared.database import Database, is_infrastructure
from shared.errors import Refused

log = telemetry.log

CLOSED_SECONDS = 1.0
AGAIN = timedelta(seconds=1)
NOTIFY = Caller(actor="notify")
WHO = {"gateway": "the directory", "booking": "booking"}
GONE = {"agent_unknown": "the directory does not know this agent", "tailored_request_unknown": "the request is gone"}
ReplyT = TypeVar("ReplyT", bound=Message)

SETTLED = Counter("labo_mails_settled", "Mails whose delivery ended, by how: sent, failed, bounced, uncertain, dropped", ["kind", "state"])
SETTLED_SECONDS = Histogram(
    "labo_mail_seconds",
    "From the fact to the end of the delivery of its mail",
    buckets=(0.1, 0.5, 1, 5, 30, 60, 120, 300, 900, 3600, 14400),
)


@dataclass(frozen=True, slots=True)
class Ready:
    """A mail that the database says is leaving."""

    message: EmailMessage
    envelope: Envelope


@dataclass
class Delivery:
    settings: NotifySettings
    database: Database
    bus: Bus
    writer: Writer = field(init=False)
    _closed_until: float = 0.0

    def __post_init__(self) -> None:
        self.writer = Writer.of(self.settings)

    @property
    def closed(self) -> bool:
        """For a second after the mail server or the directory was found away: a thousand mails need not all knock."""
        return time.monotonic() < self._closed_until

    def _close(self) -> None:
        self._closed_until = time.monotonic() + min(CLOSED_SECONDS, self.settings.deferral_base)

    async def deliver(self, mail: Mail, line: Line) -> None:
        """A mail cancelled while it is sent stays `sending`, and will be found uncertain."""
        if self.closed:
            await self._commit(lambda tx: claims.postpone(tx, mail, AGAIN))
        elif (ready := await self._make_ready(mail, line)) is not None:
            await self._send(mail, line, ready)

    async def _make_ready(self, mail: Mail, line: Line) -> Ready | None:
        """Up to here nothing was said of the mail: whatever happens, it can be tried again."""
        try:
            await self._open(line)
            if (contact := await self._contact(mail)) is None:
                return None
            if "tailored_request_id" in mail.details:
                request = await self._ask(mail, GetTailoredRequest(tailored_request_id=UUID(mail.details["tailored_request_id"])))
                return await self._prepare_tailored(mail, request, contact) if request else None
            if (applicant := await self._applicant(mail)) is None:
                return None
            return await self._prepare(mail, contact, applicant, await alternatives(self.database, self.bus, mail))
        except NoServer as error:
            await self._defer(mail, error, longest=5, before_sending=True)
        except Unsendable as error:
            await self._settle(mail, "failed", str(error))
        except Exception as error:
            if is_infrastructure(error):
                log.warning("mail_without_database", error=type(error).__name__)
                await self._commit(lambda tx: claims.postpone(tx, mail, timedelta(0)))
            else:
                log.exception("mail_not_composed")
                await self._defer(mail, RuntimeError(f"an error of ours, see the log: {type(error).__name__}"), before_sending=True)
        return None

    async def _open(self, line: Line) -> None:
        try:
            await line.open()
        except NoServer as error:
            self._close()
            log.warning("mail_server_away", error=str(error))
            raise

    async def _applicant(self, mail: Mail) -> str | None:
        """Of whom a line manager is asked, the only name of somebody else that a mail ever says; empty in all others."""
        if (applicant_id := mail.details.get("applicant_id")) is None:
            return ""
        contact = await self._ask(mail, GetContact(agent_id=UUID(applicant_id)))
        return contact and compose.name_of(contact)

    async def _contact(self, mail: Mail) -> Contact | None:
        """Nobody writes to an agent who is gone (E5)."""
        if mail.agent_id == LAB:
            return Contact(agent_id=LAB, given_name="", usual_name="l’équipe du Lab-O", email=self.settings.lab_address)
        return await self._ask(mail, GetContact(agent_id=mail.agent_id))

    async def _ask(self, mail: Mail, question: Request[ReplyT]) -> ReplyT | None:
        """What only another service knows, an address or a text: asked for at the last moment and kept by nobody (P4)."""
        try:
            return await self.bus.ask(question, NOTIFY)
        except Refused as refusal:
            code = refusal.code
            if code in GONE:
                await self._settle(mail, "dropped", GONE[code])
            else:
                self._close()
                pause = AGAIN if refusal.retryable else timedelta(seconds=self.settings.deferral_base)
                await self._commit(lambda tx: claims.postpone(tx, mail, pause, f"{WHO[question.service()]} answered {code}"))
            return None

    async def _prepare_tailored(self, mail: Mail, request: TailoredRequest, contact: Contact) -> Ready | None:
        """As `_prepare`, of a request that booking has just told of."""
        proposal_id = UUID(mail.details["proposal_id"]) if "proposal_id" in mail.details else None
        if reason := tailored.reason_to_drop(mail.kind, request, proposal_id):
            await self._settle(mail, "dropped", reason)
            return None
        message = compose.about_tailored_request(
            self.writer,
            kind=mail.kind,
            mail_id=mail.id,
            request=request,
            proposal_id=proposal_id,
            contact=contact,
            now=datetime.now(UTC),
        )
        async with self.database.engine.begin() as tx:
            if not await claims.start(tx, mail, session_version=None, message_id=self.writer.message_id(mail.id)):
                return None
        return Ready(message, Envelope(self.writer.sender, compose.recipient(contact).addr_spec))

    async def _prepare(self, mail: Mail, contact: Contact, applicant: str, others: Sequence[SessionState]) -> Ready | None:
        """Look again at what is true now, and commit that this mail is leaving. None when it is not."""
        async with self.database.engine.begin() as tx:
            known = None
            if mail.session_id is not None and mail.kind not in ATTENDANCE:
                known = await claims.matter_of(tx, mail)
                if known is None:
                    await claims.postpone(tx, mail, AGAIN)
                    return None
                if reason := reason_to_drop(mail.kind, known) or reason_not_to_remind(known, clock.now()):
                    return await _drop(tx, mail, reason)
            if reason := await gathering.instead_of_leaving(tx, mail, self.settings.mails_per_hour):
                return await _drop(tx, mail, reason)
            version = known.session.version if known and settles_the_dates(mail.kind) else None
            if not await claims.start(tx, mail, session_version=version, message_id=self.writer.message_id(mail.id)):
                return None
            message = await self._compose(tx, mail, known, contact, applicant, others)
            if message is None:
                return await _drop(tx, mail, "nothing is left to tell")
        return Ready(message, Envelope(self.writer.sender, compose.recipient(contact).addr_spec))

    async def _compose(
        self, tx: AsyncConnection, mail: Mail, known: Known | None, contact: Contact, applicant: str, others: Sequence[SessionState]
    ) -> EmailMessage | None:
        """None when nothing is left to tell."""
        now = datetime.now(UTC)  # real time, whatever the demonstration's clock says
        if mail.kind in ATTENDANCE and mail.session_id is not None:
            return compose.about_attendance(self.writer, mail, await claims.session_of(tx, mail), contact, now)
        if mail.kind is MailKind.NEWS:
            sessions = worth_telling(await news.sessions(tx, [UUID(each) for each in mail.details["session_ids"]]), clock.now())
            return compose.about_news(self.writer, mail_id=mail.id, sessions=sessions, contact=contact, now=now) if sessions else None
        if mail.kind is MailKind.DIGEST:
            items = [item for gathered in await gathering_store.gathered(tx, mail.id) if (item := await _item(tx, gathered))]
            return compose.digest(self.writer, mail_id=mail.id, items=items, contact=contact, now=now) if items else None
        if known is None or mail.booking_id is None:
            return compose.about_project(self.writer, kind=mail.kind, mail_id=mail.id, details=mail.details, contact=contact, now=now)
        entries = await _entries(tx, mail, known)
        return compose.about_session(
            self.writer,
            kind=mail.kind,
            mail_id=mail.id,
            booking_id=mail.booking_id,
            details=mail.details,
            known=known,
            entries=entries,
            joining=await reminders.instructions(tx, known.session),
            contact=contact,
            applicant=applicant,
            alternatives=others,
            now=now,
        )

    async def _send(self, mail: Mail, line: Line, ready: Ready) -> None:
        """From here on nothing is repeated unless the server said, or cannot but mean, that it does not have the mail."""
        try:
            await line.send(ready.message, ready.envelope)
        except (TryLater, NoServer) as error:
            await self._defer(mail, error)
        except RecipientRefused as error:
            await self._bounce(mail, error)
        except MailRefused as error:
            log.error("mail_refused", error=_clean(error))  # noqa: TRY400 - an answer, and no bug of ours
            await self._settle(mail, "failed", _clean(error))
        except Exception as error:
            log.error("mail_uncertain", error=_clean(error), exc_info=not isinstance(error, Uncertain))  # noqa: TRY400
            await self._settle(mail, "uncertain", _clean(error))
        else:
            await self._settle(mail, "sent")
            log.info("mail_sent")

    async def _bounce(self, mail: Mail, error: RecipientRefused) -> None:
        async def bounce(tx: AsyncConnection) -> None:
            if (number := await claims.settle(tx, mail, "bounced", _clean(error))) is not None:
                await bounces.mark(tx, mail.agent_id, mail.id)
                fact = DeliveryBounced(version=number, mail_id=mail.id, agent_id=mail.agent_id, kind=mail.kind)
                await outbox.record(tx, fact, cause=NOTIFY)

        log.warning("mail_bounced")
        await self._commit(bounce, self.database.begin)
        _count(mail, "bounced")

    async def _settle(self, mail: Mail, state: Outcome, error: str | None = None) -> None:
        await self._commit(lambda tx: claims.settle(tx, mail, state, error))
        _count(mail, state)

    async def _defer(self, mail: Mail, error: Exception, *, longest: int = 60, before_sending: bool = False) -> None:
        """Later, ever more patiently, for three days; then it failed. `longest` pause in units of the first one."""
        if (datetime.now(UTC) - mail.created_at).total_seconds() > self.settings.give_up_after:
            await self._settle(mail, "failed", f"given up: {_clean(error)}")
            return
        base = timedelta(seconds=self.settings.deferral_base)
        pause = pause_before_retry(mail.attempts + 1, base, longest * base)
        await self._commit(lambda tx: claims.defer(tx, mail, pause, _clean(error), before_sending=before_sending))
        log.info("mail_deferred", error=_clean(error), seconds=pause.total_seconds())

    async def _commit(self, step: Callable[[AsyncConnection], Awaitable[object]], begin: Begin | None = None) -> None:
        await rounds.commit(begin or self.database.engine.begin, step)


def _count(mail: Mail, state: Outcome) -> None:
    SETTLED.labels(mail.kind.value, state).inc()
    SETTLED_SECONDS.observe((datetime.now(UTC) - mail.created_at).total_seconds())


async def _drop(tx: AsyncConnection, mail: Mail, reason: str) -> None:
    await claims.settle(tx, mail, "dropped", reason)
    _count(mail, "dropped")
    log.info("mail_dropped", reason=reason)


async def _item(tx: AsyncConnection, gathered: Mail) -> Item | None:
    """One of the mails that a digest tells, as true as it would be by itself; None when it no longer is."""
    known = await claims.matter_of(tx, gathered)
    if known is None or reason_to_drop(gathered.kind, known) or reason_not_to_remind(known, clock.now()):
        return None
    return Item(gathered.kind, gathered.details, known, await reminders.instructions(tx, known.session))


async def _entries(tx: AsyncConnection, mail: Mail, known: Known) -> list[Entry]:
    session = known.session
    match calendar_part(mail.kind, known.booking):
        case "REQUEST":
            return await calendar_entries.confirm(
                tx,
                mail_id=mail.id,
                session_id=session.session_id,
                agent_id=mail.agent_id,
                periods=session.periods,
                place=place(session.venue),
            )
        case "CANCEL":
            return await calendar_entries.cancel(tx, mail_id=mail.id, session_id=session.session_id, agent_id=mail.agent_id)
        case None:
            return []


def _clean(error: Exception) -> str:
    """Servers quote the address they refuse, and no address is stored or logged (P4)."""
    return telemetry.hide_private(str(error))[:500]
