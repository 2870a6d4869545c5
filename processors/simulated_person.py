"""A simulated person on pens, for the demo and for tests: no patient, no medical model, but days that look like days.

Glucose is one compartment, fed by meals and a liver that balances the long-acting insulin, lowered by rapid insulin and
its own effect, pushed back by counter-regulation below 65 and by the kidneys above 190 mg/dL; both inputs pass two
compartments on their way (the shape of Hovorka's and Dalla Man's models, with round numbers). The person eats three
meals, misjudges them, boluses early or late or not at all, corrects highs, drinks juice when low. All chance is a hash
of seed and moment, so the same seed lives the same life, and a longer simulation begins with the shorter one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

Kind = Literal["glucose", "rapid", "long", "carbs"]

RAPID_NAME: Final = "Humalog"
LONG_NAME: Final = "Tresiba"

_STEP_MS: Final = 300_000
_STEP_MIN = 5.0
_DAY_MIN = 1440

_SENSITIVITY = 50.0  # mg/dL by which one unit lowers glucose
_RATIO = 10.0  # g of carbohydrate one unit covers
_BELIEVED_RATIO = 11.2  # what the person reckons with; most err on the side of too little insulin
_RISE = _SENSITIVITY / _RATIO  # mg/dL per g
_RAPID_TAU_MIN = 40.0  # two in a row: peak at 40 min, 90 % over after 2.6 h
_MEAL_TAU_MIN = 25.0
_JUICE_TAU_MIN = 9.0
_TARGET = 130.0
_SETPOINT = 125.0  # where liver and long-acting insulin balance on a day like all days
_PULL = 0.0045  # per min, towards the set point: glucose's effect on its own uptake
_LONG_UNITS = 18.0
_STAY_MIN = 20.0  # how long an ordered low lasts before somebody drinks juice
_AFTERWARDS_MIN = 50.0  # for so long a low that comes back after it is treated at once
_ORDERED_MGDL = 43.0
_QUICKEST_FALL_MIN = 26.0
_STEEPEST_MGDL_PER_MIN = 3.5  # what insulin and sport do to a person at the worst


class SimulatedEvent(NamedTuple):
    """An event of the simulated life, at an epoch millisecond.

    `value` is mg/dL for glucose, units for rapid and long, grams for carbs; `name` is that of the insulin or meal.
    """

    time_ms: int
    kind: Kind
    value: float
    name: str


@dataclass(slots=True)
class _Body:
    """Glucose and what is still on its way: insulin (units) and carbohydrate (g) in two compartments each."""

    glucose: float
    interstitial: float
    rapid_1: float = 0.0
    rapid_2: float = 0.0
    meal_1: float = 0.0
    meal_2: float = 0.0
    juice_1: float = 0.0
    juice_2: float = 0.0
    sensor_noise: float = 0.0
    drift: float = 0.0

    @property
    def insulin_on_board(self) -> float:
        """Units that have not acted yet."""
        return self.rapid_1 + self.rapid_2


class _Plan(NamedTuple):
    """A meal of the day, in minutes since local midnight; `bolus_at` None: forgotten."""

    at: int
    grams: float
    estimated: float
    bolus_at: int | None
    name: str


@dataclass(slots=True)
class _Habits:
    """What the person remembers between steps."""

    last_rapid_ms: int = -(10**15)
    last_juice_ms: int = -(10**15)
    low_since_ms: int | None = None
    high_since_ms: int | None = None
    plans: dict[int, tuple[_Plan, ...]] = field(default_factory=dict)


def simulate(
    seed: int, start_ms: int, end_ms: int, *, lows_at_ms: Sequence[int] = (), utc_offset_min: int = 0
) -> list[SimulatedEvent]:
    """The life of person `seed` in [start_ms, end_ms), in order of time.

    A later end adds events and changes none. `utc_offset_min` is the person's local time, for meals and nights. From
    each of `lows_at_ms` on the person goes urgently low as quickly as a body may (half an hour; from very high, a good
    hour), stays there for 20 min, drinks juice and recovers; nothing before that moment changes.
    """
    life = _Life(seed, utc_offset_min, sorted(lows_at_ms))
    events: list[SimulatedEvent] = []
    phase_ms = int(_chance(seed, 1) * _STEP_MS)  # the sensor's own cadence
    for now_ms in range(start_ms + phase_ms, end_ms, _STEP_MS):
        life.live(now_ms, events)
    events.sort(key=lambda event: event.time_ms)
    return [event for event in events if event.time_ms < end_ms]


class _Stage(NamedTuple):
    """A low that was ordered: when it began, from where, and how long the way down takes."""

    began_ms: int
    from_mgdl: float
    fall_min: float

    @property
    def over_ms(self) -> float:
        """When the body is left to itself again."""
        return self.began_ms + (self.fall_min + _STAY_MIN) * 60_000


class _Life:
    def __init__(self, seed: int, utc_offset_min: int, lows_at_ms: Sequence[int]) -> None:
        self._seed = seed
        self._offset_ms = utc_offset_min * 60_000
        self._orders = list(lows_at_ms)
        self._stage: _Stage | None = None  # the last ordered low
        glucose = 105.0 + 40.0 * _chance(seed, 2)
        self._body = _Body(glucose, glucose)
        self._habits = _Habits()

    def live(self, now_ms: int, events: list[SimulatedEvent]) -> None:
        """One step of five minutes: the sensor reads, the person acts, the body goes on."""
        sensed = self._sense(now_ms)
        events.append(SimulatedEvent(now_ms, "glucose", sensed, ""))
        done = len(events)
        day, minute = divmod((now_ms + self._offset_ms) // 60_000, _DAY_MIN)
        self._eat_and_inject(now_ms, day, minute, sensed, events)
        self._treat_a_low(now_ms, minute, sensed, events)
        self._correct_a_high(now_ms, minute, sensed, events)
        for event in events[done:]:
            self._take(event)
        self._go_on(now_ms, day, minute)

    def _sense(self, now_ms: int) -> float:
        body = self._body
        body.sensor_noise = 0.75 * body.sensor_noise + 1.5 * _bell(self._seed, 3, now_ms)
        return float(min(400, max(40, round(body.interstitial + body.sensor_noise))))

    def _eat_and_inject(self, now_ms: int, day: int, minute: int, sensed: float, events: list[SimulatedEvent]) -> None:
        for plan in self._plans(day):
            if minute <= plan.at < minute + _STEP_MIN:
                events.append(SimulatedEvent(self._moment(now_ms, 4), "carbs", plan.grams, plan.name))
            if plan.bolus_at is not None and minute <= plan.bolus_at < minute + _STEP_MIN and sensed >= 75:
                units = plan.estimated / _BELIEVED_RATIO + (sensed - _TARGET) / _SENSITIVITY
                self._inject(now_ms, units - 0.5 * self._body.insulin_on_board, events)
        bedtime = 1290 + int(40 * _chance(self._seed, 5, day))  # 21:30 to 22:10
        if minute <= bedtime < minute + _STEP_MIN:
            events.append(SimulatedEvent(self._moment(now_ms, 6), "long", _LONG_UNITS, LONG_NAME))

    def _inject(self, now_ms: int, units: float, events: list[SimulatedEvent]) -> None:
        half_units = math.floor(units * 2 + 0.5) / 2  # what a pen with half units delivers
        if half_units >= 0.5:
            events.append(SimulatedEvent(self._moment(now_ms, 7), "rapid", min(half_units, 15.0), RAPID_NAME))
            self._habits.last_rapid_ms = now_ms

    def _treat_a_low(self, now_ms: int, minute: int, sensed: float, events: list[SimulatedEvent]) -> None:
        habits = self._habits
        asleep = not 390 <= minute < 1380
        if sensed >= (65 if asleep else 72):
            habits.low_since_ms = None
            return
        if habits.low_since_ms is None:
            habits.low_since_ms = now_ms
        # Some lows are noticed at once, some late; at night an alarm has to wake somebody first.
        unnoticed_min = (10.0 if asleep else 0.0) + 26.0 * _chance(self._seed, 8, habits.low_since_ms) ** 2
        if self._stage is not None and now_ms < self._stage.over_ms + _AFTERWARDS_MIN * 60_000:
            unnoticed_min = 0.0 if now_ms >= self._stage.over_ms else math.inf
        if now_ms - habits.low_since_ms < unnoticed_min * 60_000:
            return
        if now_ms - habits.last_juice_ms >= 20 * 60_000:
            habits.last_juice_ms = now_ms
            events.append(SimulatedEvent(self._moment(now_ms, 9), "carbs", 12.0 if sensed >= 60 else 18.0, "juice"))

    def _correct_a_high(self, now_ms: int, minute: int, sensed: float, events: list[SimulatedEvent]) -> None:
        habits = self._habits
        if sensed < 215 or not 420 <= minute < 1350:
            habits.high_since_ms = None
            return
        if habits.high_since_ms is None:
            habits.high_since_ms = now_ms
        patience_min = 45 + 60 * _chance(self._seed, 10, habits.high_since_ms)
        waited = now_ms - habits.high_since_ms >= patience_min * 60_000
        if waited and now_ms - habits.last_rapid_ms >= 150 * 60_000:
            # Impatience: now and then the correction is half as much again as it should be.
            zeal = 1.6 if _chance(self._seed, 11, now_ms) < 0.25 else 0.9
            units = zeal * (sensed - _TARGET) / _SENSITIVITY - self._body.insulin_on_board
            self._inject(now_ms, units, events)

    def _take(self, event: SimulatedEvent) -> None:
        if event.kind == "rapid":
            self._body.rapid_1 += event.value
        elif event.kind == "carbs" and event.name == "juice":
            self._body.juice_1 += event.value
        elif event.kind == "carbs":
            self._body.meal_1 += event.value

    def _go_on(self, now_ms: int, day: int, minute: int) -> None:
        body = self._body
        body.rapid_1, body.rapid_2, insulin = _pass(body.rapid_1, body.rapid_2, _RAPID_TAU_MIN)
        body.meal_1, body.meal_2, meal = _pass(body.meal_1, body.meal_2, _MEAL_TAU_MIN)
        body.juice_1, body.juice_2, juice = _pass(body.juice_1, body.juice_2, _JUICE_TAU_MIN)
        unrest = 0.17 if 390 <= minute < 1380 else 0.09
        body.drift = 0.9 * body.drift + unrest * _bell(self._seed, 12, now_ms)
        sensitivity, pull = self._sensitivity(day, minute), _PULL * _STEP_MIN
        change = _RISE * (meal + juice) - _SENSITIVITY * sensitivity * insulin
        change += pull * (self._balance(day, minute) - body.glucose) + body.drift * _STEP_MIN
        change += 0.018 * _STEP_MIN * max(0.0, 65.0 - body.glucose)  # glucagon and adrenaline
        change -= 0.006 * _STEP_MIN * max(0.0, body.glucose - 190.0)  # the kidneys
        body.glucose = min(390.0, max(38.0, body.glucose + change))
        self._stage_a_low(now_ms)
        body.interstitial += (body.glucose - body.interstitial) * (1 - math.exp(-_STEP_MIN / 7.0))

    def _sensitivity(self, day: int, minute: int) -> float:
        """How much insulin does today, and after sport, compared with a day like all days."""
        today = 1.0 + 0.13 * _bell(self._seed, 13, day)
        sport = _chance(self._seed, 14, day) < 0.4 and 1020 <= minute < 1200
        return max(0.6, today) * (1.45 if sport else 1.0)

    def _balance(self, day: int, minute: int) -> float:
        """Where glucose would settle without food and rapid insulin: each day a little elsewhere, higher at dawn."""
        dawn = 26.0 * math.exp(-(((minute - 400) / 110.0) ** 2))
        return _SETPOINT + 14.0 * _bell(self._seed, 15, day) + dawn

    def _stage_a_low(self, now_ms: int) -> None:
        """Down to an urgent low, whatever the body was up to; a while there."""
        body = self._body
        if self._orders and now_ms >= self._orders[0]:
            # A cosine is steepest in its middle.
            fall = (body.glucose - _ORDERED_MGDL) * math.pi / 2 / _STEEPEST_MGDL_PER_MIN
            self._stage = _Stage(self._orders.pop(0), body.glucose, max(_QUICKEST_FALL_MIN, fall))
        stage = self._stage
        if stage is None or now_ms >= stage.over_ms:
            return
        done = min(1.0, ((now_ms - stage.began_ms) / 60_000 + _STEP_MIN) / stage.fall_min)
        ease = 0.5 - 0.5 * math.cos(math.pi * done)
        body.glucose = stage.from_mgdl + (_ORDERED_MGDL - stage.from_mgdl) * ease
        if done >= 1.0:
            body.rapid_1 = body.rapid_2 = body.drift = 0.0  # so that juice is enough afterwards

    def _plans(self, day: int) -> tuple[_Plan, ...]:
        plans = self._habits.plans.get(day)
        if plans is None:
            made = (self._plan(day, number) for number in range(len(_MEALS)))
            plans = tuple(plan for plan in made if plan.grams > 0)
            self._habits.plans = {day: plans}
        return plans

    def _plan(self, day: int, number: int) -> _Plan:
        meal = _MEALS[number]
        key = day * 8 + number
        at = meal.at + int(meal.spread * (2 * _chance(self._seed, 16, key) - 1))
        grams = float(round(meal.grams * (1 + 0.22 * _bell(self._seed, 17, key))))
        if _chance(self._seed, 18, key) >= meal.likely:
            grams = 0.0
        estimated = max(0.0, grams * (1 + 0.17 * _bell(self._seed, 19, key)))
        forgotten = _chance(self._seed, 20, key) < meal.unbolused
        bolus_at = None if forgotten else at - 12 + int(30 * _chance(self._seed, 21, key))
        return _Plan(at, max(grams, 0.0), estimated, bolus_at, meal.name)

    def _moment(self, now_ms: int, what: int) -> int:
        """Some time in the next five minutes; people do not live in steps."""
        return now_ms + 5_000 + int(290_000 * _chance(self._seed, 22, what, now_ms))


class _Meal(NamedTuple):
    name: str
    at: int
    spread: int
    grams: float
    likely: float
    unbolused: float


_MEALS: Final = (
    _Meal("breakfast", 450, 35, 42.0, 0.95, 0.04),
    _Meal("lunch", 755, 45, 58.0, 1.0, 0.08),
    _Meal("snack", 960, 50, 18.0, 0.5, 0.5),
    _Meal("dinner", 1125, 45, 66.0, 1.0, 0.07),
)


def _pass(first: float, second: float, tau_min: float) -> tuple[float, float, float]:
    """Five minutes through two compartments: what is left in each, and what came out."""
    share = 1 - math.exp(-_STEP_MIN / tau_min)
    moved, out = first * share, second * share
    return first - moved, second + moved - out, out


_MASK = (1 << 64) - 1


def _hash(*keys: int) -> int:
    """64 well-mixed bits of some integers (the finaliser of SplitMix64, after each key)."""
    value = 0x9E3779B97F4A7C15
    for key in keys:
        value = (value ^ (key & _MASK)) * 0xBF58476D1CE4E5B9 & _MASK
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _MASK
        value ^= value >> 31
    return value


def _chance(*keys: int) -> float:
    """Evenly between 0 and 1."""
    return _hash(*keys) / 2**64


def _bell(*keys: int) -> float:
    """Around 0 with a standard deviation of about 1, never beyond 3.5 (the sum of four even chances)."""
    bits = _hash(*keys)
    total = sum((bits >> shift & 0xFFFF) / 0x10000 for shift in (0, 16, 32, 48))
    return (total - 2.0) * math.sqrt(3.0)
