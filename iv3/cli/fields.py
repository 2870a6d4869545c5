"""Verbs whose options are a dataclass, so that each option stands once."""

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, TypeVar, get_type_hints

_T = TypeVar("_T")


def by_fields(verb: Callable[[_T], None]) -> Callable[..., None]:
    """A verb that takes `options` as typer reads it: with a parameter for each of their fields."""
    kind: type[_T] = get_type_hints(verb)["options"]

    @wraps(verb)
    def run(**said: Any) -> None:  # noqa: ANN401 - of what type each is, the fields say
        verb(kind(**said))

    run.__signature__ = signature(kind)  # type: ignore[attr-defined] # the way in which `inspect` is told
    run.__annotations__ = get_type_hints(kind, include_extras=True)
    return run
