"""E7: what people see while parts of the system are away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from deploy.embedded import NatsServer
from tests.gateway.conftest import ALICE, House, IdentityProvider, add_session, sign_in

Eventually = Callable[..., Awaitable[Any]]


async def test_E7_with_the_broker_away_the_programme_is_readable_and_all_resumes(
    house: House, identity: IdentityProvider, nats: NatsServer, eventually: Eventually
) -> None:
    await house.start("catalog", "booking", "projects")
    await house.register(ALICE)
    session_id = await add_session(house)
    alice = house.browser()
    await sign_in(alice, ALICE)

    async def shown() -> bool:
        return "Pitcher en 5 minutes" in (await alice.get("/")).text

    await eventually(shown)

    nats.kill()

    async def noticed() -> bool:
        return not house.bus.client.is_connected

    await eventually(noticed)
    programme, session = await alice.get("/"), await alice.get(f"/seances/{session_id}")
    booked = await alice.post(f"/seances/{session_id}/inscription", data={"cle": "once"})
    mine = await alice.get("/mes-inscriptions")
    api = await alice.post(f"/api/v1/sessions/{session_id}/bookings")
    assert programme.status_code == session.status_code == 200
    assert "Pitcher en 5 minutes" in programme.text
    assert "momentanément indisponibles" in session.text
    assert booked.status_code == 503
    assert booked.headers["retry-after"]
    assert "<h1>Pitcher en 5 minutes</h1>" in booked.text
    assert mine.status_code == 503
    assert "Le programme, lui, reste consultable" in mine.text
    assert api.status_code == 503
    assert api.json()["code"] == "unavailable"
    assert api.headers["retry-after"]

    nats.start()

    async def resumed() -> bool:
        return (await alice.post(f"/seances/{session_id}/inscription", data={"cle": "once"})).status_code == 303

    await eventually(resumed, within=20)
    assert "Place confirmée" in (await alice.get("/mes-inscriptions")).text


async def test_without_booking_a_session_still_shows_its_last_known_seats(house: House, eventually: Eventually) -> None:
    await house.start("catalog", "booking")
    session_id = await add_session(house)
    anybody = house.browser()

    async def shown() -> bool:
        return "12 places restantes" in (await anybody.get("/")).text

    await eventually(shown)
    await house.stop("booking")

    page = await anybody.get(f"/seances/{session_id}")

    assert page.status_code == 200
    assert "12 places restantes" in page.text
