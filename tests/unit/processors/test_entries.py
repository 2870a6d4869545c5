"""Entries: what a correction, a deletion or its undoing does to one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.entries import (
    KINDS,
    TYPES,
    Conflict,
    EntryVersion,
    content_json,
    data_of,
    entry_id_of,
    entry_of,
    evolve_entry,
    is_entry_event,
)
from schemas.envelope import Event, make
from schemas.facts import (
    CarbsEaten,
    DeviceStarted,
    Entry,
    EntryCorrected,
    EntryDeleted,
    EntryRestored,
    ExerciseDone,
    FingerstickTaken,
    GlucoseRead,
    InsulinTaken,
    NoteWritten,
    content_of,
)
from schemas.model import Fact, at_ms
from tests.support.night import T0


def event(data: Fact, name: str = "e1", at: int = T0) -> Event:
    return make(data, id=name, source="api", subject="me", time=at_ms(at), recordedtime=at_ms(at), actor="Mum")


def corrected(units: float, revision: int) -> EntryCorrected:
    content = Entry(type=InsulinTaken.TYPE, time=at_ms(T0), data={"units": units, "insulin": "Humalog"})
    return EntryCorrected(entry_id="e1", revision=revision, entry=content)


def fold(events: list[Event]) -> tuple[EntryVersion | None, list[Conflict]]:
    current, conflicts = None, []
    for one in events:
        after = evolve_entry(current, one)
        if isinstance(after, Conflict):
            conflicts.append(after)
        elif after is not None:
            current = after
    return current, conflicts


def test_a_change_applies_only_to_the_revision_it_was_made_from() -> None:
    made = event(InsulinTaken(units=4.0, insulin="Humalog"))
    first, second = event(corrected(6.0, 2), "c1"), event(corrected(7.0, 2), "c2")
    entry, conflicts = fold([made, first, second])
    assert entry is not None
    assert (entry.data, entry.revision) == (InsulinTaken(units=6.0, insulin="Humalog"), 2)
    assert conflicts == [Conflict("e1", 2, 2)]


def test_deletion_and_its_undoing_are_changes_like_any_other() -> None:
    content = Entry(type=InsulinTaken.TYPE, time=at_ms(T0), data={"units": 4.0, "insulin": "Humalog"})
    made = event(InsulinTaken(units=4.0, insulin="Humalog"))
    deleted = event(EntryDeleted(entry_id="e1", revision=2), "d")
    restored = event(EntryRestored(entry_id="e1", revision=3, as_of=1, entry=content), "r")
    assert fold([made, deleted])[0].deleted  # type: ignore[union-attr]  # it is there: the next assert would fail
    entry, _ = fold([made, deleted, restored])
    assert entry is not None
    assert (entry.deleted, entry.revision, entry.data) == (False, 3, made.data)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 3), max_size=12))
def test_repeats_of_what_was_folded_change_nothing(order: list[int]) -> None:
    history = [
        event(InsulinTaken(units=4.0, insulin="Humalog")),
        event(corrected(6.0, 2), "c1"),
        event(EntryDeleted(entry_id="e1", revision=3), "d"),
        event(corrected(7.0, 4), "c2"),
    ]
    whole, _ = fold(history)
    assert fold(history + [history[n] for n in order])[0] == whole


# -- one by one ------------------------------------------------------------------------------------


def changed(fact: Fact, revision: int, name: str = "c", at: int = T0) -> Event:
    content = Entry(type=fact.TYPE, time=at_ms(at), data=fact.model_dump(mode="json", exclude_none=True))
    return event(EntryCorrected(entry_id="e1", revision=revision, entry=content), name)


def test_an_entry_begins_as_it_was_logged() -> None:
    made, conflicts = fold([event(CarbsEaten(grams=20))])
    assert made == EntryVersion("e1", "me", "carbs", T0, 1, False, CarbsEaten(grams=20), T0, "Mum")
    assert conflicts == []


def test_each_kind_of_entry_has_its_name() -> None:
    facts: list[tuple[Fact, str]] = [
        (InsulinTaken(units=4, insulin="Humalog"), "insulin"),
        (CarbsEaten(grams=20), "carbs"),
        (FingerstickTaken(glucose_mgdl=100), "fingerstick"),
        (ExerciseDone(minutes=30), "exercise"),
        (NoteWritten(text="x"), "note"),
        (DeviceStarted(device="sensor"), "device"),
    ]
    for fact, kind in facts:
        entry, _ = fold([event(fact)])
        assert entry is not None
        assert (entry.kind, TYPES[kind]) == (kind, fact.TYPE)
    assert len(KINDS) == len(TYPES) == len(facts)


def test_a_correction_may_make_another_kind_of_it_at_another_time() -> None:
    entry, _ = fold([event(CarbsEaten(grams=20)), changed(NoteWritten(text="x"), 2, at=T0 - 5)])
    assert entry is not None
    assert (entry.kind, entry.time_ms, entry.data, entry.revision) == ("note", T0 - 5, NoteWritten(text="x"), 2)


def test_a_change_says_who_made_it_and_when() -> None:
    later = make(
        EntryDeleted(entry_id="e1", revision=2),
        id="d",
        source="api",
        subject="me",
        time=at_ms(T0 + 1),
        recordedtime=at_ms(T0 + 2),
        actor="Dad",
    )
    entry, _ = fold([event(CarbsEaten(grams=20)), later])
    assert entry is not None
    assert (entry.recorded_ms, entry.actor, entry.data) == (T0 + 2, "Dad", CarbsEaten(grams=20))


def test_what_nobody_knows_or_knows_otherwise_is_a_conflict_with_both_revisions() -> None:
    gone = event(EntryDeleted(entry_id="e1", revision=2), "d")
    assert evolve_entry(None, gone) == Conflict("e1", 2, 0)
    assert evolve_entry(None, changed(CarbsEaten(grams=1), 2)) == Conflict("e1", 2, 0)
    made = event(CarbsEaten(grams=20))
    current, _ = fold([made, gone])
    assert evolve_entry(current, event(EntryDeleted(entry_id="e1", revision=3), "d")) == Conflict("e1", 3, 2)
    assert evolve_entry(current, changed(CarbsEaten(grams=1), 4)) == Conflict("e1", 4, 2)
    assert evolve_entry(current, changed(CarbsEaten(grams=1), 2)) == Conflict("e1", 2, 2)


def test_the_last_change_come_twice_is_a_repeat() -> None:
    made, gone = event(CarbsEaten(grams=20)), event(EntryDeleted(entry_id="e1", revision=2), "d")
    current, _ = fold([made, gone])
    assert evolve_entry(current, gone) is None
    assert evolve_entry(current, made) is None
    better = changed(CarbsEaten(grams=25), 3)
    after, _ = fold([made, gone, better])
    assert evolve_entry(after, better) is None
    assert evolve_entry(after, changed(CarbsEaten(grams=26), 3)) == Conflict("e1", 3, 3)


def test_what_is_no_entry_makes_none() -> None:
    reading = event(GlucoseRead(glucose_mgdl=100.0))
    assert not is_entry_event(reading)
    assert evolve_entry(None, reading) is None
    for data in (CarbsEaten(grams=1), EntryDeleted(entry_id="e1", revision=2)):
        assert is_entry_event(event(data))


def test_an_event_is_of_the_entry_that_it_makes_or_changes() -> None:
    assert entry_id_of(event(CarbsEaten(grams=1), "made")) == "made"
    assert entry_id_of(event(EntryDeleted(entry_id="e1", revision=2), "d")) == "e1"
    assert entry_id_of(changed(CarbsEaten(grams=1), 2)) == "e1"


def test_content_that_does_not_fit_names_its_field() -> None:
    for wrong, why in ((("iv3.profile.v1", {}), "no kind of entry"), ((CarbsEaten.TYPE, {"grams": -1}), "^grams: ")):
        with pytest.raises(ValueError, match=why):
            content_of(Entry(type=wrong[0], time=at_ms(T0), data=wrong[1]))


def test_content_is_the_same_bytes_each_time_and_comes_back_from_a_row() -> None:
    entry, _ = fold([event(CarbsEaten(grams=20, note="Müsli"))])
    assert entry is not None
    assert data_of(entry) == {"grams": 20.0, "speed": "medium", "note": "Müsli"}
    assert content_json(entry) == '{"grams":20.0,"note":"Müsli","speed":"medium"}'.encode()
    row = (*entry[:5], 1, content_json(entry), *entry[7:])
    assert entry_of(row) == entry._replace(deleted=True)
