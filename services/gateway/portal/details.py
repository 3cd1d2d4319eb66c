"""What only one type of activity has, as its page says it in French. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from services.gateway.programme.domain import plural
from shared.contracts.details import (
    ActivityDetails,
    CoachingDetails,
    InnovationThursdayDetails,
    LabtourDetails,
    TrainingDetails,
    WorkshopSupportDetails,
)


@dataclass(frozen=True, slots=True)
class Fact:
    label: str
    lines: Sequence[str]


def facts(details: ActivityDetails | None) -> list[Fact]:
    """In the order of the page, without what nobody has said."""
    return [Fact(label, said) for label, lines in _said(details).items() if (said := [line for line in lines if line])]


def _said(details: ActivityDetails | None) -> dict[str, Sequence[str]]:
    match details:
        case None:
            return {}
        case LabtourDetails():
            return {
                "Le lieu visité": (details.place_visited,),
                "À voir": details.to_see,
                "Durée": (hours(details.duration_hours),),
                "Taille du groupe": (group(details.group_min, details.group_max),),
                "Accès": (details.access,),
                "À prévoir": details.to_bring,
            }
        case InnovationThursdayDetails():
            recorded = {None: "", True: "La séance est enregistrée", False: "La séance n’est pas enregistrée"}
            return {
                "Intervenants": details.speakers,
                "Au menu": details.key_points,
                "Pour aller plus loin": details.further_reading,
                "Enregistrement": (recorded[details.recorded],),
            }
        case TrainingDetails():
            return {
                "Objectifs": details.objectives,
                "Prérequis": (details.prerequisites or "Aucun",),
                "Durée": (hours(details.duration_hours),),
                "Méthodes": details.methods,
                "Évaluation": (details.assessment,),
                "À apporter": details.to_bring,
            }
        case WorkshopSupportDetails():
            weeks = details.preparation_weeks
            return {
                "Ce que le Lab apporte": details.formats,
                "Ce que vous obtenez": details.deliverables,
                "Ce que vous préparez": details.to_provide,
                "Préparation": (f"{weeks} semaine{plural(weeks)} avant l’atelier" if weeks else "",),
                "Taille du groupe": (group(details.group_min, details.group_max),),
            }
        case CoachingDetails():
            months = details.duration_months
            return {
                "Durée": (f"{months} mois" if months else "",),
                "Rythme": (details.rhythm,),
                "Ce à quoi l’équipe s’engage": details.commitments,
                "Ce que le projet en retire": details.deliverables,
            }
        case _:
            assert_never(details)


def hours(number: float | None) -> str:
    """`3 h`, `1 h 30`."""
    if number is None:
        return ""
    whole, minutes = divmod(round(number * 60), 60)
    return f"{whole} h {minutes:02}" if whole and minutes else f"{whole} h" if whole else f"{minutes} min"


def group(fewest: int | None, most: int | None) -> str:
    if fewest and most:
        return f"de {fewest} à {most} personnes" if fewest != most else f"{most} personne{plural(most)}"
    if most:
        return f"{most} personne{plural(most)} au plus"
    return f"à partir de {fewest} personne{plural(fewest)}" if fewest else ""
