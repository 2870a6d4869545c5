"""What a check finds: a name, whether it is well, and a sentence that says what to do."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from schemas.settings import Settings


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `serious`: iv3 cannot do its work, or somebody would not be told."""

    name: str
    ok: bool
    message: str
    serious: bool = True


def failed(name: str, message: str) -> Finding:
    """A finding that keeps iv3 from its work, or somebody from being told."""
    return Finding(name, False, message)


def noticed(name: str, message: str) -> Finding:
    """A finding that is not as it should be, while iv3 works all the same."""
    return Finding(name, False, message, serious=False)


def passed(name: str, message: str) -> Finding:
    """A finding that is as it should be."""
    return Finding(name, True, message, serious=False)


Check = Callable[[Settings, Path], Awaitable[list[Finding]]]  # settings, data folder
