"""Erasing a person: which records are theirs, and what takes the place of one."""

from typing import Any

import pytest

from processors.copies.erasing import Ownership, Traces, dead_lettered_position, is_placeholder, placeholder
from schemas.bookkeeping import RecordDeadLettered, RecordErased
from schemas.envelope import SYSTEM, decode, encode, make
from schemas.facts import (
    CarbsEaten,
    DocumentSaved,
    NoteWritten,
    PersonAdded,
    ProfileChanged,
    TokenIssued,
    TokenRevoked,
)
from schemas.model import Fact, at_ms
from tests.support.night import T0

THEIRS, MENTIONS, NOBODYS = Ownership.THEIRS, Ownership.MENTIONS, Ownership.NOBODYS


def written(data: Fact, subject: str = "ada", actor: str | None = None) -> bytes:
    return encode(
        make(data, id="x", source="test", subject=subject, time=at_ms(T0), recordedtime=at_ms(T0), actor=actor)
    )


def token(**more: Any) -> TokenIssued:
    return TokenIssued.model_validate(
        {"token_id": "t1", "name": "Mum's phone", "role": "owner", "sha256": "0" * 64} | more
    )


@pytest.fixture
def maya() -> Traces:
    return Traces("maya")


def test_a_record_is_theirs_by_its_key_or_its_subject(maya: Traces) -> None:
    assert maya.ownership(b"maya", None) is THEIRS
    assert maya.ownership(b"maya", b"anything") is THEIRS
    assert maya.ownership(b"ada", written(CarbsEaten(grams=1), "maya")) is THEIRS
    assert maya.ownership(b"ada", written(CarbsEaten(grams=1), "ada")) is NOBODYS
    assert maya.ownership(None, None) is maya.ownership(b"ada", None) is NOBODYS


def test_a_name_that_only_begins_alike_is_somebody_elses(maya: Traces) -> None:
    assert maya.ownership(b"maya2", written(CarbsEaten(grams=1), "maya2")) is NOBODYS
    assert maya.ownership(b"ada", written(NoteWritten(text="maya slept well"))) is NOBODYS


def test_somebody_elses_record_that_names_them_stays_and_is_counted(maya: Traces) -> None:
    assert maya.ownership(b"ada", written(NoteWritten(text="maya"))) is MENTIONS


def test_what_nobody_can_read_but_names_them_is_theirs(maya: Traces) -> None:
    assert maya.ownership(b"x", b'broken "maya" {') is THEIRS
    assert maya.ownership(b"x", b'["maya"]') is THEIRS
    assert maya.ownership(b"x", b"broken maya {") is NOBODYS


def test_a_token_that_is_bound_to_them_goes_and_so_does_what_ended_it(maya: Traces) -> None:
    system = SYSTEM.encode()
    revoked = written(TokenRevoked(token_id="t1"), SYSTEM)
    assert maya.ownership(system, revoked) is NOBODYS
    for bound in ({"person": "maya"}, {"people": ("ada", "maya")}):
        traces = Traces("maya")
        issued = written(token(**bound), SYSTEM)
        traces.note_token(issued)
        assert traces.tokens == {"t1": "Mum's phone"}
        assert traces.ownership(system, issued) is THEIRS
        assert traces.ownership(system, revoked) is THEIRS
        assert traces.ownership(system, written(TokenRevoked(token_id="t2"), SYSTEM)) is NOBODYS


def test_a_token_of_everybody_or_of_somebody_else_stays(maya: Traces) -> None:
    for data in (token(), token(person="ada"), token(name="maya")):
        maya.note_token(written(data, SYSTEM))
        assert maya.tokens == {}
    maya.note_token(None)
    maya.note_token(written(NoteWritten(text="maya")))
    assert maya.tokens == {}


def test_what_was_written_with_a_token_of_theirs_is_somebody_elses_and_names_them(maya: Traces) -> None:
    said = written(CarbsEaten(grams=1), "ada", "Mum's phone")
    assert maya.ownership(b"ada", said) is NOBODYS
    maya.note_token(written(token(person="maya"), SYSTEM))
    assert maya.ownership(b"ada", said) is MENTIONS


def test_of_what_belongs_to_nobody_it_is_theirs_that_names_them(maya: Traces) -> None:
    system = SYSTEM.encode()
    document = DocumentSaved(collection="treatments", document_id="d", body={"enteredBy": {"who": ["maya"]}})
    assert maya.ownership(system, written(document, SYSTEM)) is THEIRS
    assert maya.ownership(system, written(document.model_copy(update={"body": {"maya": 1}}), SYSTEM)) is THEIRS
    assert (
        maya.ownership(system, written(document.model_copy(update={"body": {"who": "maya's mum"}}), SYSTEM)) is NOBODYS
    )
    assert maya.ownership(system, written(token(name="maya"), SYSTEM)) is NOBODYS, "a name is no binding"


def test_their_records_say_what_they_are_called(maya: Traces) -> None:
    assert maya.name_in(written(ProfileChanged(name="Maya"), "maya")) == "Maya"
    assert maya.name_in(written(PersonAdded(name="Maya"), "maya")) == "Maya"
    assert maya.name_in(written(ProfileChanged(), "maya")) == ""
    assert maya.name_in(written(NoteWritten(text="name"), "maya")) == ""
    assert maya.name_in(None) == ""


def test_a_dead_letter_that_does_not_name_them_is_not_theirs_by_itself(maya: Traces) -> None:
    """It also counts by the record it speaks of, which only the log can tell."""
    letter = RecordDeadLettered(role="alerter", topic="iv3.journal", partition=0, offset=7, reason="no event")
    assert maya.ownership(b"x", written(letter, "iv3.journal/0/7")) is NOBODYS


def test_a_dead_letter_says_of_which_record_it_speaks() -> None:
    letter = RecordDeadLettered(role="alerter", topic="iv3.journal", partition=3, offset=7, reason="no event")
    assert dead_lettered_position(written(letter)) == ("iv3.journal", 3, 7)
    assert dead_lettered_position(written(CarbsEaten(grams=1))) is None
    assert dead_lettered_position(None) is None
    assert dead_lettered_position(b'"type":"iv3.dead-letter." broken') is None


def test_of_an_erased_record_nothing_is_left_but_its_place() -> None:
    left = placeholder("log", "iv3.journal", 3, 17, T0)
    event = decode(left)
    assert (event.data, event.subject, event.source) == (RecordErased(), SYSTEM, "iv3/erase")
    assert (event.time_ms, event.recorded_ms) == (T0, T0)
    assert encode(event) == left
    assert is_placeholder(left)
    assert not is_placeholder(None)
    assert not is_placeholder(written(CarbsEaten(grams=1)))


def test_no_two_places_leave_the_same() -> None:
    places = [("log", "a", 3, 17), ("other", "a", 3, 17), ("log", "b", 3, 17), ("log", "a", 4, 17), ("log", "a", 3, 18)]
    assert len({decode(placeholder(*place, T0)).id for place in places}) == len(places)
    assert placeholder(*places[0], T0) == placeholder(*places[0], T0)
