"""Whom a request is about, and whether its token may know. Decided once, before any handler runs, so that no route can
forget to ask.

`?person=` names somebody; without it the default person is meant, or the first whom the token is bound to. A token that
is bound to people opens nothing of anybody else. A handler finds the person in `context_of(request).person` and looks
nowhere else.
"""

from collections.abc import Sequence
from dataclasses import replace

from aiohttp import web

from api.request.context import VIEW, ApiContext
from api.request.openapi import PERSON
from api.request.problems import ProblemError

MOST_CHARACTERS = 80


def settle_person(request: web.Request, context: ApiContext, people: Sequence[str]) -> None:
    """Give the handlers a view of the house as one person's. `people`: whom the token is bound to; nobody means
    everybody.

    Raises ProblemError 403 for somebody else's, 404 for a person whom iv3 does not know, 422 for what cannot be one.
    """
    asked = request.query.getall(PERSON, [])
    if len(asked) > 1 or any(not 1 <= len(name) <= MOST_CHARACTERS for name in asked):
        raise ProblemError(422, "person must be one id, of at most 80 characters.", field=PERSON)
    person = asked[0] if asked else _unasked(context, people)
    if people and person not in people:
        raise ProblemError(403, f"This token is for {_listed(people)}, and for nobody else.", field=PERSON)
    if person != context.person and not context.catalog.knows(person):
        raise ProblemError(404, "iv3 knows no person with this id; `iv3 person list` shows who there is.", field=PERSON)
    if person != context.person:
        request[VIEW] = replace(context, person=person)


def _unasked(context: ApiContext, people: Sequence[str]) -> str:
    return context.person if not people or context.person in people else people[0]


def _listed(people: Sequence[str]) -> str:
    return people[0] if len(people) == 1 else f"{', '.join(people[:-1])} and {people[-1]}"
