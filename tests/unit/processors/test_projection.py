"""Projection: which rows follow from an event."""

import json
from typing import Any

import pytest

from processors.entries import EntryVersion
from processors.projection import Change, PutAlert, PutEntry, PutForecast, PutReading, project
from processors.readings import Reading
from schemas.alerts import (
    AlertEvent,
    AlertsDecided,
    Delivered,
    DeliveryAttempted,
    Evidence,
    TargetAdded,
    Undeliverable,
)
from schemas.envelope import encode, make
from schemas.facts import CarbsEaten, EntryDeleted, GlucoseRead, ProfileChanged
from schemas.forecasts import ForecastWithheld
from schemas.model import Fact, at_ms
from tests.support.night import T0, Night, a_forecast

Entries = dict[str, EntryVersion]


def rows(data: Fact, entries: Entries | None = None, name: str = "e1", value: bytes | None = None) -> list[Change]:
    event = make(data, id=name, source="test", subject="me", time=at_ms(T0), recordedtime=at_ms(T0 + 5), actor="Mum")
    return project(event, {} if entries is None else entries, encode(event) if value is None else value)


def forecast() -> Any:
    night = Night(foresees=False)
    night.read(120, 0)
    return a_forecast(night.state)


def test_a_reading_is_a_row() -> None:
    reading = Reading(T0, 104, "Flat", "test", "e1")
    assert rows(GlucoseRead(glucose_mgdl=104.0, trend="Flat")) == [PutReading("me", reading, T0 + 5)]


def test_an_entry_is_a_row_as_its_newest_revision_has_it() -> None:
    entries: Entries = {}
    made = EntryVersion("e1", "me", "carbs", T0, 1, False, CarbsEaten(grams=20), T0 + 5, "Mum")
    assert rows(CarbsEaten(grams=20), entries) == [PutEntry(made)]
    assert entries == {"e1": made}
    gone = made._replace(revision=2, deleted=True)
    assert rows(EntryDeleted(entry_id="e1", revision=2), entries, "d") == [PutEntry(gone)]
    assert entries == {"e1": gone}


def test_a_repeat_or_a_conflict_is_no_row() -> None:
    entries: Entries = {}
    rows(CarbsEaten(grams=20), entries)
    kept = dict(entries)
    assert rows(CarbsEaten(grams=20), entries) == []
    assert rows(EntryDeleted(entry_id="e1", revision=7), entries, "d") == []
    assert rows(EntryDeleted(entry_id="unknown", revision=2), entries, "d") == []
    assert entries == kept


def test_a_forecast_is_a_row_of_its_reading_with_the_data_as_it_was_written() -> None:
    said = forecast()
    (row,) = rows(said)
    assert isinstance(row, PutForecast)
    assert (row.person, row.reading_time_ms, row.based_on, row.pos) == ("me", T0, said.based_on, said.pos)
    assert json.loads(row.body) == said.model_dump(mode="json", exclude_none=True)


def test_what_was_written_otherwise_is_made_again() -> None:
    """As an older release had it, or with `data` first, or as another type that an upcaster changed."""
    said = forecast()
    body = rows(said)[0].body  # type: ignore[union-attr] # it is a forecast's row
    for value in (b"", b'{"data":{}}', b'{"type":"iv3.forecast.v0","data":{"old":1}}'):
        assert json.loads(rows(said, value=value)[0].body) == json.loads(body)  # type: ignore[union-attr] # the same


def test_each_step_of_a_decision_is_a_row_of_its_own() -> None:
    steps = [
        AlertEvent(
            change=change,
            episode="low-1",
            kind="low",
            step=step,
            priority=4,
            urgency=2,
            at=at_ms(T0 + step),
            evidence=Evidence(),
        )
        for change, step in (("opened", 1), ("escalated", 2))
    ]
    found = rows(AlertsDecided(pos=(3, 0, 0), events=tuple(steps)))
    assert [(row.key, row.at_ms) for row in found if isinstance(row, PutAlert)] == [
        ("low-1/1/opened", T0 + 1),
        ("low-1/2/escalated", T0 + 2),
    ]
    first = found[0]
    assert isinstance(first, PutAlert)
    assert AlertEvent.model_validate_json(first.body) == steps[0]


@pytest.mark.parametrize("kind", [DeliveryAttempted, Delivered, Undeliverable])
def test_what_became_of_a_message_is_a_row(kind: Any) -> None:
    more = {"reason": "no"} if kind is Undeliverable else {}
    (row,) = rows(kind(episode="low-1", step=1, target="phone", sequence_id="low-1-1", **more))
    assert isinstance(row, PutAlert)
    assert (row.key, row.at_ms) == (f"low-1/1/phone/{kind.__name__}", T0)
    assert json.loads(row.body)["outcome"] == kind.__name__
    assert json.loads(row.body)["sequence_id"] == "low-1-1"


@pytest.mark.parametrize(
    "data",
    [
        ProfileChanged(),
        TargetAdded(target="phone"),
        ForecastWithheld(based_on="r", pos=0, reading_time=at_ms(T0), reason="too few readings"),
    ],
    ids=lambda data: type(data).__name__,
)
def test_nothing_else_is_a_row(data: Fact) -> None:
    assert rows(data) == []
