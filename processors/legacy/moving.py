"""Moving in: what a row of the older Go program becomes here, with the same identity that it has when it is heard live.

A reading has the id of a reading of the same Dexcom account, a dose or meal the id that the seed's routes give it. So
whatever was heard twice, or imported twice, is there once.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pydantic import ValidationError

from processors.plausibility import odd_time
from processors.profiles import action_of, proper_name
from schemas.envelope import Event, make
from schemas.facts import TRENDS, CarbsEaten, GlucoseRead, Insulin, InsulinTaken
from schemas.identity import legacy_entry_id, reading_id
from schemas.model import Fact, at_ms


class Row(NamedTuple):
    """A point of the older program. `text` is a reading's trend or a dose's insulin; None where it has none."""

    time_ns: int
    value: float | None
    text: str | None = None


class LeftOut(NamedTuple):
    """A row that the log refuses, and why. Nothing is put in its place."""

    time_ms: int
    why: str


class UnknownInsulin(NamedTuple):
    """A dose of an insulin that the profile does not know."""

    time_ms: int
    name: str


class Insulins:
    """Insulin names of the older program, in the profile's spelling: as `--map` says, else as the profile
    spells them.
    """

    def __init__(self, insulins: Iterable[Insulin], names: Mapping[str, str]) -> None:
        self._insulins = tuple(insulins)
        self._names = {old.strip().casefold(): new for old, new in names.items()}

    def name(self, said: str) -> str:
        """The name as the profile spells it."""
        return proper_name(self._names.get(said.strip().casefold(), said), self._insulins)

    def dose(self, said: str, units: float) -> InsulinTaken | None:
        """The dose; None where the profile does not know the insulin, for nobody may guess that it is rapid. Raises
        ValidationError.
        """
        name = self.name(said)
        action = action_of(name, self._insulins)
        return InsulinTaken(units=units, insulin=name, action=action) if action is not None else None


class LegacyImport:
    """An import of rows as events, which must come in the order of time, one kind after the other."""

    def __init__(self, person: str, source: tuple[str, str], insulins: Insulins, now_ms: int) -> None:
        """`source` is the name and account of the live source of readings; `now_ms` is when they are accepted."""
        self._person, self._source, self._insulins, self._now_ms = person, source, insulins, now_ms
        self._second = -1
        self._equal: Counter[tuple[str, float, str]] = Counter()  # of the second in hand

    def reading(self, row: Row) -> Event | LeftOut:
        """A reading of the sensor. A trend that nobody knows is left out, as it is of live ones."""
        time_ms = row.time_ns // 1_000_000
        if (problem := self._problem(row)) is not None:
            return problem
        trend = row.text if row.text in TRENDS else None
        try:
            fact = GlucoseRead.model_validate({"glucose_mgdl": row.value, "trend": trend})
        except ValidationError as error:
            return LeftOut(time_ms, _why(error))
        name, account = self._source
        return self._event(fact, reading_id(name, account, time_ms, fact.glucose_mgdl, trend), name, time_ms)

    def dose(self, row: Row) -> Event | LeftOut | UnknownInsulin:
        """A dose, or what is wrong with it."""
        time_ms = row.time_ns // 1_000_000
        if (problem := self._problem(row)) is not None:
            return problem
        if not row.text or not row.text.strip():
            return LeftOut(time_ms, "it has no insulin")
        try:
            fact = self._insulins.dose(row.text, row.value or 0.0)
        except ValidationError as error:
            return LeftOut(time_ms, _why(error))
        if fact is None:
            return UnknownInsulin(time_ms, row.text)
        return self._entry(fact, "insulin", time_ms, fact.units, fact.insulin)

    def meal(self, row: Row) -> Event | LeftOut:
        """A meal, or what is wrong with it."""
        time_ms = row.time_ns // 1_000_000
        if (problem := self._problem(row)) is not None:
            return problem
        try:
            fact = CarbsEaten(grams=row.value or 0.0)
        except ValidationError as error:
            return LeftOut(time_ms, _why(error))
        return self._entry(fact, "carbs", time_ms, fact.grams, "")

    def _problem(self, row: Row) -> LeftOut | None:
        time_ms = row.time_ns // 1_000_000
        if row.value is None:
            return LeftOut(time_ms, "it has no value")
        odd = odd_time(time_ms, self._now_ms)
        return LeftOut(time_ms, f"it {odd}") if odd else None

    def _entry(self, fact: Fact, kind: str, time_ms: int, value: float, name: str) -> Event:
        second = time_ms // 1000
        if second != self._second:
            self._second = second
            self._equal.clear()
        ordinal = self._equal[kind, value, name]
        self._equal[kind, value, name] += 1
        entry = legacy_entry_id(self._person, kind, second, value, name, ordinal)
        return self._event(fact, entry, "seed-import", time_ms)

    def _event(self, fact: Fact, name: str, source: str, time_ms: int) -> Event:
        taken = at_ms(self._now_ms)
        return make(fact, id=name, source=source, subject=self._person, time=at_ms(time_ms), recordedtime=taken)


def _why(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    said = first["msg"].removeprefix("Value error, ").replace("Input should", "it should")
    return f"{'.'.join(map(str, first['loc']))} {first['input']}: {said}"
