"""`labo demo show`, the demonstration script, on the whole system."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

from deploy import kept
from deploy.installation import DATA, ROOT
from deploy.stack import Stack

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("journey"), pytest.mark.timeout(240)]

PROMISED = (
    "200 inscriptions simultanées, 10 places : 10 confirmées, 190 en file dans l'ordre d'arrivée.",
    "Le jeudi 6 mai est sauté, avec sa raison : « Ascension",
    "Un groupe de 14 demande tout ou rien : 12 places lui sont gardées, au rang 1, jusqu'au lundi 8 mars 2027",
    "Cinq jours ouvrés plus tard, les 12 places lui sont proposées",
    "L'un des deux avait déjà sa place : il n'en garde qu'une, l'autre est rendue.",
    "les deux places sans nom vont à d'autres ; les deux autres ne bougent pas.",
    "une demi-absence, dite à lui seul",
    "Réponse attendue avant le lundi 15 mars 2027 à 11 h 30",
    "même UID, SEQUENCE 0 puis 1, 12 h 30 à Paris les deux fois",
    "Quatre réponses : le Lab n'en lit aucune",
    "Une cinquième, et le Lab lit les cinq",
    "la même entrée est barrée dans tous les agendas abonnés.",
    "Pas encore là : passage de relais entre coachs, projet en panne relancé, récépissé d'effacement.",
    "Les 8 scènes se sont passées comme promis.",
)


async def test_the_demonstration_script_comes_out_as_promised_and_leaves_the_clock_as_it_was(stack: Stack) -> None:
    engine = stack.admin_engine()
    try:
        before = await kept.domain_offset(engine)

        showing = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "deploy.cli", "demo", "show", cwd=ROOT, env=os.environ | {DATA: str(stack.installation.folder)},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said = (await showing.communicate())[0].decode()

        assert showing.returncode == 0, said
        assert [words for words in PROMISED if words not in said] == [], said
        assert await kept.domain_offset(engine) == before
    finally:
        await engine.dispose()
