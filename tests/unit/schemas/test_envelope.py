"""The envelope: what is written, what is read, and the three ways in which reading fails."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from schemas import envelope
from schemas.envelope import EVENT_FACTS, NEWEST, Event, Garbage, NewerVersion, decode, encode, make
from schemas.facts import CarbsEaten, EntryCorrected, EntryDeleted, content_of
from schemas.model import at_ms
from tests.support.night import T0


def meal(**more: Any) -> Event:
    about = {"id": "x", "source": "s", "subject": "me", "time": at_ms(T0), "recordedtime": at_ms(T0 + 5)}
    return make(CarbsEaten(grams=20), **about | more)


def changed(**more: Any) -> bytes:
    return json.dumps(json.loads(encode(meal())) | more).encode()


def test_an_event_comes_back_as_it_was_written() -> None:
    event = meal(actor="Mum", requestkey="k")
    assert decode(encode(event)) == event
    assert (event.time_ms, event.recorded_ms, event.type) == (T0, T0 + 5, "iv3.carbs.v1")
    assert b"actor" not in encode(meal())


def test_writing_refuses_what_the_event_does_not_know() -> None:
    with pytest.raises(ValidationError, match="extra"):
        meal(colour="red")


def test_reading_drops_what_a_newer_release_added_to_the_same_version() -> None:
    assert decode(changed(colour="red", data={"grams": 20.0, "fat": 3})) == meal()


@pytest.mark.parametrize(
    "value", [None, b"", b"[]", b"{}", b"\xff", b'{"type":"iv3.carbs.v1"}', b'{"type":"x"}', b'{"type":5}']
)
def test_what_is_no_event_is_garbage(value: bytes | None) -> None:
    with pytest.raises(Garbage):
        decode(value)


def test_what_does_not_fit_names_its_field() -> None:
    with pytest.raises(Garbage, match=r"data\.grams"):
        decode(changed(data={"grams": -1}))


@pytest.mark.parametrize("kind", ["iv3.carbs.v2", "iv3.unheard-of.v1"])
def test_a_newer_version_or_type_asks_for_an_upgrade_and_is_no_garbage(kind: str) -> None:
    with pytest.raises(NewerVersion, match="upgrade this worker"):
        decode(changed(type=kind))


def test_a_type_that_is_none_of_ours_is_garbage() -> None:
    with pytest.raises(Garbage):
        decode(changed(type="org.example.v9"))


def test_an_old_version_goes_through_its_upcasters(monkeypatch: pytest.MonkeyPatch) -> None:
    def newer(raw: dict[str, Any]) -> dict[str, Any]:
        return raw | {"type": "iv3.carbs.v1", "data": {"grams": raw["data"]["g"]}}

    monkeypatch.setitem(envelope.UPCASTERS, ("iv3.carbs", 0), newer)
    assert decode(changed(type="iv3.carbs.v0", data={"g": 20.0})) == meal()
    with pytest.raises(Garbage, match="an old event that no longer fits"):
        decode(changed(type="iv3.carbs.v0", data={"g": -1}))


def test_every_type_has_one_fact_and_its_newest_version() -> None:
    assert all(name == fact.TYPE for name, fact in EVENT_FACTS.items())
    assert NEWEST["iv3.carbs"] == 1
    assert len(NEWEST) == len(EVENT_FACTS)


def _correction(content: dict[str, Any]) -> bytes:
    entry = {"type": "iv3.carbs.v1", "time": "2026-11-01T10:00:00Z", "data": {"grams": 20}} | content
    made = make(
        EntryDeleted(entry_id="e1", revision=2), id="c1", source="s", subject="me", time=at_ms(0), recordedtime=at_ms(0)
    )
    raw = json.loads(encode(made)) | {"type": "iv3.entry-corrected.v1"}
    raw["data"] = {"entry_id": "e1", "revision": 2, "entry": entry}
    return json.dumps(raw).encode()


def test_a_correction_drops_what_a_newer_release_added_to_its_fact() -> None:
    event = decode(_correction({"data": {"grams": 20, "with_milk": True}}))
    assert isinstance(event.data, EntryCorrected)
    assert content_of(event.data.entry, extra="ignore") == CarbsEaten(grams=20)


@pytest.mark.parametrize("kind", ["iv3.carbs.v2", "iv3.alcohol.v1"])
def test_a_correction_to_a_fact_of_a_newer_release_asks_for_an_upgrade(kind: str) -> None:
    with pytest.raises(NewerVersion, match="upgrade this worker"):
        decode(_correction({"type": kind}))


@pytest.mark.parametrize("content", [{"type": "iv3.profile.v1"}, {"type": "x"}, {"data": {"grams": -1}}, {"data": {}}])
def test_a_correction_that_can_never_be_read_is_garbage(content: dict[str, Any]) -> None:
    with pytest.raises(Garbage, match="a correction that does not fit"):
        decode(_correction(content))
