"""Every error is an RFC 9457 problem document: what happened, which field, what to do."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import pydantic_core
from aiohttp import web
from pydantic import BaseModel, ValidationError

from streams.commands.refusals import BadValue, CommandRefused, Conflict, NeedsConfirmation, NotFound, NotReadYet
from streams.errors import DiskReserve, LogOutcomeUnknown, LogRefused, SeriesUnavailable, Transient

logger = logging.getLogger("iv3.api")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
# What a discriminated union puts before a field's name.
_TAGS = frozenset({"insulin", "carbs", "note", "fingerstick", "exercise"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_STATUS: dict[type[CommandRefused], int] = {
    NotFound: 404,
    Conflict: 409,
    NeedsConfirmation: 409,
    BadValue: 422,
    NotReadYet: 503,
}
# For anything but a stream: a body that drips in is cut off. Longer than an append waits for its outcome, so that
# whoever writes is told what became of it.
DEADLINE_S = 15.0


class FieldError(BaseModel):
    """One field that does not fit."""

    field: str
    message: str


class Problem(BaseModel):
    """RFC 9457 problem details. `code` is set where a client must tell two problems of one status apart."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str | None = None
    instance: str | None = None
    code: str | None = None
    errors: list[FieldError] | None = None
    facts: dict[str, Any] | None = None


class ProblemError(Exception):
    """Raise it in a handler to answer with a problem document. `field` names the one that does not fit; where there are
    several, `errors` say what of each.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        field: str | None = None,
        errors: Sequence[FieldError] = (),
        code: str | None = None,
        facts: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.code = status, detail, code
        self.errors = list(errors) or ([FieldError(field=field, message=detail)] if field else [])
        self.facts = dict(facts) if facts else None
        self.headers = dict(headers or {})


def _answer(error: ProblemError, request: web.Request) -> web.Response:
    """The problem document as a response."""
    problem = Problem(
        title=HTTPStatus(error.status).phrase,
        status=error.status,
        detail=error.detail,
        instance=request.path,
        code=error.code,
        errors=error.errors or None,
        facts=error.facts,
    )
    body = pydantic_core.to_json(problem, exclude_none=True)
    return web.Response(body=body, status=error.status, headers=error.headers, content_type="application/problem+json")


def field_errors(error: ValidationError, where: str = "") -> list[FieldError]:
    """Which fields do not fit, and why, without repeating what was sent."""
    found = []
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        place = [str(part) for part in item["loc"]]
        if len(place) > 1 and place[0] in _TAGS:
            place = place[1:]
        message = str(item["msg"]).removeprefix("Value error, ")
        found.append(FieldError(field=".".join(place) or where or "body", message=message))
    return found


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every failure with a problem document; nothing of the inside of iv3 shows in it."""
    try:
        if request.path.endswith("/stream"):
            return await handler(request)
        async with asyncio.timeout(DEADLINE_S):
            return await handler(request)
    except ConnectionResetError:
        raise
    except Exception as error:
        if isinstance(error, web.HTTPException) and error.status < 400:
            raise
        problem = _problem(error)
        if isinstance(error, TimeoutError) and request.method not in _SAFE and request.content.at_eof():
            problem = _problem(LogOutcomeUnknown(f"it took longer than {DEADLINE_S:.0f} s"))
        if problem is None:
            logger.exception("%s %s failed", request.method, request.path)
            problem = ProblemError(500, "Something in iv3 failed; its log says what.")
        return _answer(problem, request)


def _problem(error: Exception) -> ProblemError | None:
    """What a failure means to whoever asked; None where nobody foresaw it."""
    match error:
        case ProblemError():
            return error
        case web.HTTPException():
            kept = {k: v for k, v in error.headers.items() if k in ("Allow", "WWW-Authenticate", "Retry-After")}
            return ProblemError(error.status, _sentence(error), headers=kept)
        case CommandRefused(field=field, code=code, facts=facts):
            wait = {"Retry-After": "1"} if isinstance(error, NotReadYet) else None
            return ProblemError(_STATUS[type(error)], str(error), field=field, code=code, facts=facts, headers=wait)
        case DiskReserve():
            return ProblemError(507, f"Nothing was saved: {error}", headers={"Retry-After": "60"})
        case SeriesUnavailable():
            said = f"{error}. Readings are safe in the log; try again."
            return ProblemError(503, said, headers={"Retry-After": "5"})
        case LogOutcomeUnknown():
            said = f"It is not known whether this was saved: {error}. Send it again with the same key."
            return ProblemError(503, said, headers={"Retry-After": "1"})
        case Transient():
            said = "Nothing was saved" if isinstance(error, LogRefused) else "This cannot be answered now"
            return ProblemError(503, f"{said}: {error}. Try again.", headers={"Retry-After": "1"})
        case TimeoutError():
            return ProblemError(408, f"The request was not complete within {DEADLINE_S:.0f} s.")
        case _:
            return None


def _sentence(error: web.HTTPException) -> str:
    match error.status:
        case 404:
            return "There is nothing at this address."
        case 405:
            return "This address does not take that method."
        case 413:
            return "The body is too large."
        case _:
            return error.text or error.reason
