"""A fortnightly series meets Ascension Thursday, and says why it takes place one time less (T2)."""

from __future__ import annotations

from datetime import date, time

from deploy.asking import OPERATOR
from deploy.scenes.stage import Stage, expect, say
from shared.contracts.catalog import ActivityType
from shared.contracts.series import DateState, PlanSeries, WallTimes

ASCENSION = date(2027, 5, 6)


async def play(stage: Stage) -> None:
    order = PlanSeries(
        anchor=date(2027, 1, 14), until=date(2027, 7, 1), every_weeks=2, capacity=40,
        times=((WallTimes(start=time(12, 30), end=time(13, 30)),), (WallTimes(start=time(17, 30), end=time(18, 30)),)),
        activity_id=await stage.activity(ActivityType.INNOVATION_THURSDAY, "Jeudis de l'innovation"),
    )  # fmt: skip
    dates = (await stage.bus.ask(order, OPERATOR)).dates

    skipped = [each for each in dates if each.state is DateState.SKIPPED]
    expect(len(dates) == 13, f"La série compte {len(dates)} dates au lieu de 13.")
    expect([each.on for each in skipped] == [ASCENSION], "Le jeudi de l'Ascension n'est pas la seule date sautée.")
    expect("Ascension" in (skipped[0].reason or ""), "La date sautée ne dit pas pourquoi.")
    after = next(each for each in dates if each.on > ASCENSION)
    expect(after.on == date(2027, 5, 20), "Le rythme de quinze jours n'est pas gardé après la date sautée.")
    say("  Une série tous les quinze jours, du 14 janvier au 1er juillet 2027 : 13 dates, 12 séances.")
    say(f"  Le jeudi 6 mai est sauté, avec sa raison : « {skipped[0].reason} ». La suivante reste le 20 mai.")
    warned = sorted({warning.title for each in dates for warning in each.warnings})
    say(f"  Signalé sans bloquer : {', '.join(warned) if warned else 'rien'}.")
    say(f"  À vérifier : {stage.portal.base_url}/?type=innovation_thursday, où aucun Jeudi n'est prévu le 6 mai.")
