"""Five people are asked what they think, in the evening: the lab reads nothing of four answers, and all five of five (P5)."""

from __future__ import annotations

from uuid import UUID

from deploy.asking import OPERATOR
from deploy.scenes.stage import Person, Stage, expect, link_in, paris, say
from shared.contracts.catalog import ActivityType
from shared.contracts.feedback import GetFeedback, SurveyResults

FIVE = 5


async def play(stage: Stage) -> None:
    await stage.it_is(paris(1, 3, 9))
    session_id = await stage.session(ActivityType.INNOVATION_THURSDAY, "Ce que nos courriers disent vraiment", paris(11, 3, 9), 20)
    people = await stage.people(FIVE)
    for person in people:
        await stage.book(person, session_id)

    await stage.it_is(paris(11, 3, 18, 5))
    mail = await stage.mail(people[0], "Votre avis")
    say(f"  À 18 h, le soir de la séance, les {FIVE} inscrits sont invités à donner leur avis : trois questions, sans connexion.")
    say("  " + stage.shown(mail))

    *first, last = people
    for person in first:
        await _answer(stage, person)
    expect((await _shown_to_lab(stage, session_id)).answers == 0, "Quatre avis sont déjà montrés au Lab.")
    say("  Quatre réponses : le Lab n'en lit aucune, on pourrait deviner de qui elles sont.")

    await _answer(stage, last)
    results = await _shown_to_lab(stage, session_id)
    expect((results.answers, results.useful) == (FIVE, (0, 0, 0, FIVE)), "Les cinq avis ne sont pas montrés au Lab.")
    say("  Une cinquième, et le Lab lit les cinq, mêlées et sans aucun nom.")


async def _answer(stage: Stage, person: Person) -> None:
    """By the link of the mail, as a person does."""
    page = await stage.portal.post(link_in(await stage.mail(person, "Votre avis"), "avis"), data={"useful": "4", "applied": "3"})
    expect(page.status_code == 200, f"Un avis n'a pas été pris (statut {page.status_code}).")


async def _shown_to_lab(stage: Stage, session_id: UUID) -> SurveyResults:
    return (await stage.bus.ask(GetFeedback(session_id=session_id), OPERATOR)).surveys[0]
