"""`labo demo show`: the scenes in order. Each asserts what it says; the first that does not come out as promised ends the showing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from deploy.scenes import ascension, feed, group, late_cancellation, names, rush, summer_time, survey
from deploy.scenes.stage import SceneFailed, Stage, say, stage
from deploy.target import Target
from shared.errors import Refused

SCENES: tuple[tuple[str, Callable[[Stage], Awaitable[None]]], ...] = (
    ("Deux cents demandes pour dix places", rush.play),
    ("L'Ascension dans une série tous les quinze jours", ascension.play),
    ("Un groupe de quatorze pour douze places", group.play),
    ("Quatre places de groupe, et qui s'y assoit", names.play),
    ("Une place libérée le vendredi à 18 h 30", late_cancellation.play),
    ("Une séance déplacée par-delà le changement d'heure", summer_time.play),
    ("Cinq avis, et pas un de moins", survey.play),
    ("Le programme dans l'agenda de chacun", feed.play),
)
NOT_YET = "Pas encore là : passage de relais entre coachs, projet en panne relancé, récépissé d'effacement."


async def show(target: Target) -> bool:
    """Whether every scene came out as promised."""
    say("Les scènes font avancer l'horloge jusqu'au 12 mars 2027 : ce que le programme attendait d'ici là (rappels, quorums) a lieu aussi.")
    async with stage(target) as here:
        for number, (title, play) in enumerate(SCENES, start=1):
            say(f"\n{number}. {title}")
            try:
                await play(here)
            except SceneFailed as failed:
                say(f"  ÉCHEC : {failed}")
                return False
            except Refused as refusal:
                say(f"  ÉCHEC : une demande a été refusée : {refusal.title} ({refusal.code})")
                return False
        say(f"\n{NOT_YET}")
        say(f"Les {len(SCENES)} scènes se sont passées comme promis.")
        return True
