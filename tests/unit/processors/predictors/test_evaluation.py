"""The protocol of the streaming evaluator: one event in, for glucose one answer out."""

import random
import sys
from pathlib import Path
from typing import Any

import pytest

from processors.predictors.ar2 import Ar2
from processors.predictors.baselines import Linear, Persistence
from processors.predictors.evaluation import answer
from processors.predictors.protocol import Prediction
from processors.readings import Reading
from schemas.envelope import Event
from schemas.forecasts import STEPS
from tests.support.night import T0

SHARED = Path(__file__).resolve().parents[5] / "shared" / "predict"


def asked(predictor: Any, minutes: float, value: float) -> dict[str, Any]:
    said = answer(predictor, {"type": "glucose", "ts": T0 / 1000 + minutes * 60, "value": value})
    assert said is not None
    return said


def test_only_glucose_wants_an_answer() -> None:
    assert answer(Ar2(), {"type": "carbs", "ts": 1, "value": 20}) is None
    assert answer(Ar2(), {}) is None


@pytest.mark.parametrize("event", [{"ts": 1}, {"value": 100}, {"ts": "x", "value": 100}, {"ts": 1, "value": None}])
def test_a_glucose_event_without_numbers_is_refused(event: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="needs numbers in ts and value"):
        answer(Ar2(), {"type": "glucose", **event})


def test_where_there_is_nothing_honest_to_say_it_says_no_change() -> None:
    assert asked(Ar2(), 0, 110) == {"pred": {"15": 110.0, "30": 110.0, "45": 110.0, "60": 110.0}}


def test_an_answer_holds_the_curve_at_the_four_horizons_and_its_bands() -> None:
    """The curve is Nightscout's, and 1.2816 and 1.9600 deviations of its cone are the bands."""
    predictor = Ar2()
    asked(predictor, 0, 110)
    said = asked(predictor, 5, 104)
    assert list(said["pred"].values()) == pytest.approx([96.0214, 94.8306, 96.1249, 98.3378], abs=1e-3)
    assert said["lo80"]["15"] == pytest.approx(96.0214 * 0.924807, abs=1e-2)
    assert said["hi95"]["60"] == pytest.approx(98.3378 * 1.456877, abs=1e-2)
    assert said["score_low"] == pytest.approx(-94.8251, abs=1e-3)
    assert said["score_high"] == pytest.approx(100.0749, abs=1e-3)
    assert said["alert_low"] is False


def test_no_change_claims_nothing_and_a_line_has_no_bands() -> None:
    assert set(asked(Persistence(), 0, 104)) == {"pred"}
    line = Linear()
    for n, glucose in enumerate((100, 103)):
        asked(line, 5 * n, glucose)
    assert set(asked(line, 10, 104)) == {"pred", "alert_low", "score_low", "score_high"}


@pytest.mark.parametrize(("ahead", "alarm"), [(60.0, True), (80.0, False)])
def test_a_predictor_without_a_rule_of_its_own_is_judged_by_its_chance(ahead: float, alarm: bool) -> None:
    class Still(Persistence):
        name = "still"

        def take(self, happened: Reading | Event) -> Prediction | None:
            return Prediction((ahead,) * STEPS, (0.1,) * STEPS)

        def calls_low(self, *_: object) -> None:
            return None

    assert asked(Still(), 0, 90)["alert_low"] is alarm


def test_ar2_answers_as_the_evaluators_own_does() -> None:
    if not SHARED.exists():
        pytest.skip("the evaluator is not beside the checkout")
    sys.path.insert(0, str(SHARED))
    try:
        from evaluate import AR2  # type: ignore[import-not-found]  # it lies beside the data, where there is any
    finally:
        sys.path.pop(0)
    rnd, ours, theirs = random.Random(4), Ar2(), AR2()
    ts, value = T0 // 1000, 140.0
    for _ in range(3000):
        ts += rnd.choice([180, 300, 300, 300, 305, 900, 1300])
        value = min(400, max(39, value + rnd.uniform(-15, 15)))
        asked = {"type": "glucose", "ts": ts, "value": round(value)}
        mine, other = answer(ours, asked), theirs.on_event(asked)
        assert mine is not None
        for key, curve in other["pred"].items():
            assert mine["pred"][key] == pytest.approx(curve, abs=1e-9)
        for key in ("alert_low", "score_low", "score_high"):
            if key in other:
                assert mine[key] == pytest.approx(other[key], abs=1e-9)
