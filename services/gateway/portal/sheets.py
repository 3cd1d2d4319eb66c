"""The attendance sheet for whoever keeps it, by a signed link and without an account: who came, on paper too, and the signatures (A1, A4).

Opening a page changes nothing; its forms do. Names come from the directory, everything else is booking's.
"""

from __future__ import annotations

from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from services.gateway.directory import store as directory
from services.gateway.portal import wording
from services.gateway.portal.answers import LinkExpired, signed_link
from services.gateway.portal.asking import patiently
from services.gateway.portal.visit import Visit, refused, visit_of
from services.gateway.programme import queries
from services.gateway.web.forms import form_of
from services.gateway.web.problems import PageUnknown, headers_of
from shared import clock
from shared.bus import Caller
from shared.contracts.attendance import AttendanceSheet, CloseHalfDay, EnterAttendance, GetRoomCode, GetSheet, HandEntry, RoomCode
from shared.errors import Refused
from shared.links import Link, Purpose, read_link

LINES_AT_MOST = 1_000
SCANNER, SCANNER_SECONDS = "labo-emargement", 12 * 3600
AWAY = frozenset({"unavailable", "busy", "deadline_exceeded", "sheet_unknown"})


def keeper(link: Link) -> Caller:
    """Whoever keeps the sheet; that they still do is booking's to say."""
    return Caller(str(link.agent_id), frozenset({"agent"}))


def link_of(request: Request) -> Link:
    link = signed_link(request, Purpose.KEEP_SHEET)
    if link.expires_at <= clock.now():
        raise LinkExpired(f"it was for the sheet of session {link.booking_id}")
    return link


async def show_sheet(request: Request) -> Response:
    visit, link = await visit_of(request), link_of(request)
    return await _page(visit, link)


async def show_paper(request: Request) -> Response:
    """To print: one table per half-day, with room to sign."""
    visit, link = await visit_of(request), link_of(request)
    return await _page(visit, link, "paper.html")


async def show_code(request: Request) -> Response:
    """The code for the room, on a screen that everybody sees. It stands still unless asked to follow the changes."""
    visit, link = await visit_of(request), link_of(request)
    code: RoomCode | None = None
    refusal: Refused | None = None
    try:
        code = await visit.desk.bus.ask(GetRoomCode(session_id=link.booking_id), keeper(link))
    except Refused as answer:
        if answer.code in AWAY:
            raise
        refusal = answer
    follows = request.query_params.get("suivre") == "oui"
    return await _page(visit, link, "room_code.html", refusal=refusal, code=code, follows=follows)


async def enter(request: Request) -> Response:
    """What was ticked or cleared since the page was shown, and only that: somebody may have checked in meanwhile."""
    visit, link = await visit_of(request), link_of(request)
    form = await form_of(request, fields_at_most=LINES_AT_MOST)
    ticked = {name.removeprefix("present-") for name in form if name.startswith("present-")}
    shown = set(form.get("affiches", "").split())
    entries = [HandEntry(booking_id=_id(each), present=each in ticked) for each in sorted(ticked ^ shown)]
    if not entries:
        return RedirectResponse(f"/emargement/{request.path_params['token']}", 303)
    order = EnterAttendance(
        session_id=link.booking_id, half_day=_number(request), entries=tuple(entries), reason=form.get("motif") or "Feuille papier"
    )
    return await _ask(visit, link, order)


async def close(request: Request) -> Response:
    visit, link = await visit_of(request), link_of(request)
    return await _ask(visit, link, CloseHalfDay(session_id=link.booking_id, half_day=_number(request)))


async def scan_here(request: Request) -> Response:
    """From now on this phone checks in whoever's personal code it scans, for this sheet."""
    visit, _ = await visit_of(request), link_of(request)
    token = str(request.path_params["token"])
    response = RedirectResponse(f"/emargement/{token}", 303)
    secure = visit.desk.settings.secure
    response.set_cookie(SCANNER, token, SCANNER_SECONDS, path="/presence", secure=secure, httponly=True, samesite="lax")
    return response


def scanner_of(request: Request, visit: Visit) -> Link | None:
    """The sheet that this phone checks people in for, if it was told to."""
    link = read_link(request.cookies.get(SCANNER, ""), visit.desk.settings.link_secret)
    valid = link is not None and link.purpose is Purpose.KEEP_SHEET and link.expires_at > clock.now()
    return link if valid else None


async def _ask(visit: Visit, link: Link, order: EnterAttendance | CloseHalfDay) -> Response:
    try:
        await patiently(lambda each: visit.desk.bus.ask(order, each), keeper(link))
    except Refused as refusal:
        if refusal.code in AWAY:
            raise
        return await _page(visit, link, refusal=refusal)
    return RedirectResponse(f"/emargement/{visit.request.path_params['token']}", 303)


async def _page(visit: Visit, link: Link, template: str = "sheet.html", *, refusal: Refused | None = None, **values: object) -> Response:
    sheet: AttendanceSheet = await visit.desk.bus.ask(GetSheet(session_id=link.booking_id), keeper(link))
    async with visit.desk.database.connect() as connection:
        listed = (await queries.read_sessions(connection, [sheet.session_id])).get(sheet.session_id)
        names = await directory.names(connection, [line.agent_id for line in sheet.lines])
    lines = sorted(sheet.lines, key=lambda line: (wording.sortable(names.get(line.agent_id, "")), line.booking_id))
    response = visit.page(
        template,
        status=refusal.status if refusal else 200,
        flashes=[refused(refusal)] if refusal else [],
        sheet=sheet,
        lines=lines,
        names=names,
        listed=listed,
        address=f"/emargement/{visit.request.path_params['token']}",
        **values,
    )
    if refusal:
        response.headers.update(headers_of(refusal))
    response.headers["Cache-Control"] = "no-store"
    return response


def _number(request: Request) -> int:
    return int(request.path_params["half_day"])


def _id(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError as error:
        raise PageUnknown("not an id") from error


routes = [
    Route("/emargement/{token}", show_sheet),
    Route("/emargement/{token}/papier", show_paper),
    Route("/emargement/{token}/code", show_code),
    Route("/emargement/{token}/pointer-ici", scan_here, methods=["POST"]),
    Route("/emargement/{token}/{half_day:int}/saisie", enter, methods=["POST"]),
    Route("/emargement/{token}/{half_day:int}/signature", close, methods=["POST"]),
]
