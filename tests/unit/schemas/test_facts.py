"""What may be said of a person, and within which limits."""

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.facts import (
    ENTRY_FACTS,
    CarbsEaten,
    DeviceStarted,
    ExerciseDone,
    FingerstickTaken,
    GlucoseRead,
    InsulinTaken,
    Limits,
    NoteWritten,
    TokenIssued,
)


@pytest.mark.parametrize(
    ("fact", "fields", "least", "most"),
    [
        (GlucoseRead, {"glucose_mgdl": None}, 39, 600),
        (FingerstickTaken, {"glucose_mgdl": None}, 10, 900),
        (CarbsEaten, {"grams": None}, 0.01, 500),
        (InsulinTaken, {"units": None, "insulin": "Humalog"}, 0.01, 300),
        (ExerciseDone, {"minutes": None}, 1, 1440),
    ],
)
def test_a_number_lies_within_what_can_be(fact: Any, fields: dict[str, Any], least: float, most: float) -> None:
    (name,) = [key for key, value in fields.items() if value is None]
    for value in (least, most):
        assert getattr(fact.model_validate(fields | {name: float(value)}), name) == value
    for value in (0.0 if least <= 1 else least - 0.1, most + 0.1):
        with pytest.raises(ValidationError, match=name):
            fact.model_validate(fields | {name: value})


def test_doses_and_carbs_have_two_decimals_at_most() -> None:
    assert InsulinTaken(units=0.25, insulin="x").units == 0.25
    for wrong in (lambda: InsulinTaken(units=0.255, insulin="x"), lambda: CarbsEaten(grams=1.234)):
        with pytest.raises(ValidationError, match="more than two decimals"):
            wrong()


def test_what_is_not_said_is_not_guessed() -> None:
    assert InsulinTaken(units=4, insulin="x").action is None
    assert CarbsEaten(grams=20).speed == "medium"
    assert DeviceStarted(device="sensor").warm_up_minutes is None
    assert GlucoseRead(glucose_mgdl=100.0).trend is None


def test_the_usual_limits() -> None:
    limits = Limits()
    assert (limits.urgent_low_mgdl, limits.low_mgdl, limits.predicted_low_mgdl) == (55, 70, 70)
    assert (limits.high_mgdl, limits.very_high_mgdl, limits.high_alarm_mgdl) == (180, 250, 240)


def test_a_token_opens_those_it_is_bound_to_and_otherwise_everybody() -> None:
    about = {"token_id": "t", "name": "n", "role": "reader", "sha256": "0" * 64}
    assert TokenIssued.model_validate(about).bound_to == ()
    assert TokenIssued.model_validate(about | {"person": "maya"}).bound_to == ("maya",)
    assert TokenIssued.model_validate(about | {"person": "x", "people": ("maya", "ada")}).bound_to == ("maya", "ada")
    with pytest.raises(ValidationError, match="sha256"):
        TokenIssued.model_validate(about | {"sha256": "secret"})


def test_an_entry_is_a_dose_a_meal_a_fingerstick_exercise_a_note_or_a_device() -> None:
    facts = {InsulinTaken, CarbsEaten, FingerstickTaken, ExerciseDone, NoteWritten, DeviceStarted}
    assert set(ENTRY_FACTS.values()) == facts
