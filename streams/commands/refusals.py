"""Why a command wrote nothing. Each is an answer for whoever asked, not a failure: nothing is half-written.

CommandRefused
├── NotFound            there is no such thing, or it is not this person's
├── Conflict            it is not, or no longer, as the caller thinks; `code` tells which
├── NeedsConfirmation   a dose that looks like a mistake; say it again, confirmed
├── BadValue            a value that no rule allows; `field` names it
└── NotReadYet          whether it was written before cannot be told yet; say it again
"""

from collections.abc import Mapping

from processors.dose_checks import Doubt


class CommandRefused(Exception):
    """The base. The message is a sentence that says what to do; `field` names what of the request it is about."""

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        code: str | None = None,
        facts: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.field, self.code, self.facts = field, code, facts


class NotFound(CommandRefused):
    """There is nothing of this name that the caller may see."""


class Conflict(CommandRefused):
    """What is there is not what the caller saw, or does not allow this now."""


class BadValue(CommandRefused):
    """A value that cannot be meant."""


class NotReadYet(CommandRefused):
    """The log is still being read, so a repeat could not be told from a new write."""


class NeedsConfirmation(CommandRefused):
    """A dose that looks like a mistake."""

    def __init__(self, doubt: Doubt, now_ms: int) -> None:
        """`facts` say what a page asks with."""
        facts = {
            "reason": doubt.reason,
            "title": doubt.title,
            "line": doubt.line,
            "insulin": doubt.insulin,
            "units": doubt.insulin_units,
            "time_ms": doubt.time_ms,
            "by": doubt.by,
            "minutes_ago": max(0, (now_ms - doubt.time_ms) // 60_000),
        }
        sentence = f'{doubt.line} Send it again with "confirm": true to log it all the same.'
        super().__init__(sentence, code="needs_confirm", facts=facts)
