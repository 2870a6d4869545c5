"""The envelope: CloudEvents 1.0 structured JSON, one model per event type, decoded in one pass.

`encode` is strict: it refuses what the model does not know. `decode` forgives one thing: a field that a newer release
added to the same version, which it drops. It tells three failures apart, because each is answered differently:
`Garbage` can never be read (dead letter), `NewerVersion` was written by a newer release (the role pauses and says
"upgrade this worker"), and nothing else is raised.
"""

from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal

import pydantic_core
from pydantic import Discriminator, Field, SerializeAsAny, TypeAdapter, ValidationError, create_model

from schemas.alerts import ALERT_FACTS
from schemas.bookkeeping import BOOKKEEPING_FACTS
from schemas.facts import ENTRY_FACTS, JOURNAL_FACTS, EntryCorrected, EntryRestored, content_of
from schemas.forecasts import FORECAST_FACTS
from schemas.model import Fact, Moment, Name, Value, at_ms, ms
from schemas.upcasters import UPCASTERS

_TYPE = b'"type":"'
SYSTEM = "_system"  # the subject of facts that belong to nobody: tokens, the archive's state

_FACTS = (*JOURNAL_FACTS, *FORECAST_FACTS, *ALERT_FACTS, *BOOKKEEPING_FACTS)
EVENT_FACTS: dict[str, type[Fact]] = {fact.TYPE: fact for fact in _FACTS}
NEWEST: dict[str, int] = {}
for _type in EVENT_FACTS:
    _stem, _, _version = _type.rpartition(".v")
    NEWEST[_stem] = max(int(_version), NEWEST.get(_stem, 0))


_CARRY_A_FACT = frozenset({EntryCorrected.TYPE, EntryRestored.TYPE})


class Garbage(ValueError):
    """The bytes are no event of ours and never will be."""


class NewerVersion(ValueError):
    """The event is of a type or version that only a newer release knows."""


class Event(Value):
    """One event. `time` is when it happened, `recordedtime` when iv3 accepted it, `subject` the person.

    `actor` is who wrote it, as people know them ("Mum's phone"); `requestkey` finds an event again by the
    Idempotency-Key of its request (a hash of person, token and key).
    """

    specversion: Literal["1.0"] = "1.0"
    id: Name
    source: Name
    type: str
    subject: Name
    time: Moment
    recordedtime: Moment
    actor: Name | None = None
    requestkey: Name | None = None
    data: SerializeAsAny[Fact]

    @property
    def time_ms(self) -> int:
        """The event's time, epoch milliseconds."""
        return ms(self.time)

    @property
    def recorded_ms(self) -> int:
        """The time of acceptance, epoch milliseconds."""
        return ms(self.recordedtime)

    def replaces(self, known_ms: int) -> bool:
        """Whether it counts where one of its kind that was accepted at `known_ms` is known: the one accepted last does;
        an older one may come again.
        """
        return self.recorded_ms >= known_ms


def _model_of(fact: type[Fact]) -> type[Event]:
    return create_model(
        f"{fact.__name__}Event",
        __base__=Event,
        __doc__=fact.__doc__,
        type=(Literal[fact.TYPE], fact.TYPE),  # type: ignore[arg-type] # a Literal made at run time is what pydantic wants
        data=(fact, ...),
    )


EVENT_MODELS: dict[str, type[Event]] = {name: _model_of(fact) for name, fact in EVENT_FACTS.items()}


@cache
def _adapter() -> TypeAdapter[Event]:
    union: Any = None
    for model in EVENT_MODELS.values():
        union = model if union is None else union | model
    return TypeAdapter(Annotated[union, Discriminator("type"), Field()])


@cache
def _validator() -> Any:  # noqa: ANN401 - pydantic names two kinds of it, the one of them private
    """Asked directly: the adapter's own `validate_json` adds a tenth, and a replay decodes millions."""
    return _adapter().validator


def make(data: Fact, **attributes: Any) -> Event:  # noqa: ANN401 - attributes are checked by the model
    """An event around `data`. Raises pydantic's ValidationError naming the field that does not fit."""
    return EVENT_MODELS[data.TYPE](type=data.TYPE, data=data, **attributes)


@dataclass(frozen=True, slots=True)
class Author:
    """The author of events: the envelope's `actor` and `source`, that is who speaks and by which door."""

    source: str
    actor: str | None = None

    def say(
        self,
        fact: Fact,
        event_id: str,
        subject: str,
        now_ms: int,
        *,
        time_ms: int | None = None,
        requestkey: str | None = None,
    ) -> Event:
        """An event by this author, accepted at `now_ms`; it happened then, or at `time_ms`. Raises as `make`."""
        recorded = at_ms(now_ms)
        return make(
            fact,
            id=event_id,
            source=self.source,
            subject=subject,
            time=recorded if time_ms is None else at_ms(time_ms),
            recordedtime=recorded,
            actor=self.actor,
            requestkey=requestkey,
        )


def peek_type(value: bytes | None) -> bytes:
    """The type of an event, read off its bytes without decoding it; empty where there is none.

    The envelope's own `type` is the first: what stands before it (id and source) has its quotes escaped.
    """
    start = (value or b"").find(_TYPE)
    if value is None or start < 0:
        return b""
    start += len(_TYPE)
    return value[start : value.find(b'"', start)]


def encode(event: Event) -> bytes:
    """The event as UTF-8 JSON, optional attributes left out where unset."""
    return pydantic_core.to_json(event, exclude_none=True, by_alias=True)


def decode(value: bytes | None) -> Event:
    """The event in `value`. Raises Garbage or NewerVersion."""
    if value is None:
        raise Garbage("the record has no value")
    try:
        event: Event = _validator().validate_json(value, extra="ignore")
    except ValidationError as error:
        event = _second_look(value, error)
    if event.type in _CARRY_A_FACT:  # quicker than to ask of what class its data is: a replay decodes millions
        _look_inside(event.data)
    return event


def _look_inside(data: Fact) -> None:
    """A correction carries a fact of its own, under the same promise as an event's."""
    assert isinstance(data, EntryCorrected | EntryRestored)  # noqa: S101 - the caller has looked at its type
    entry = data.entry
    if entry.type not in ENTRY_FACTS and _is_newer(entry.type):
        raise NewerVersion(f"a correction to {entry.type} was written by a newer release: upgrade this worker")
    try:
        content_of(entry, extra="ignore")
    except ValueError as error:
        raise Garbage(f"a correction that does not fit: {error}") from error


def _is_newer(type_: str) -> bool:
    stem, _, version = type_.rpartition(".v")
    return stem.startswith("iv3.") and version.isdecimal() and int(version) > NEWEST.get(stem, 0)


def _second_look(value: bytes, error: ValidationError) -> Event:
    """Old versions go through the upcasters; what is left is garbage or newer than this release."""
    try:
        raw = pydantic_core.from_json(value)
        stem, _, version = str(raw["type"]).rpartition(".v")
        number = int(version)
    except (ValueError, KeyError, TypeError):
        raise Garbage(f"not an event: {_first(error)}") from error
    if _is_newer(str(raw["type"])):
        raise NewerVersion(f"{raw['type']} was written by a newer release: upgrade this worker") from error
    if (stem, number) not in UPCASTERS:
        raise Garbage(f"not an event: {_first(error)}") from error
    while (stem, number) in UPCASTERS:
        raw = UPCASTERS[stem, number](raw)
        number += 1
    try:
        return _adapter().validate_json(pydantic_core.to_json(raw), extra="ignore")
    except ValidationError as again:
        raise Garbage(f"an old event that no longer fits: {_first(again)}") from again


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}"[:300]
