"""Digests: equal wherever the content is equal, whatever holds it."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from processors.digest import KINDS, alert_line, day_of, entry_line, fingerprint, forecast_line, reading_line
from processors.entries import EntryVersion
from processors.readings import Reading
from schemas.facts import CarbsEaten
from tests.support.night import T0

MEAL = EntryVersion("e1", "me", "carbs", T0, 2, False, CarbsEaten(grams=20, note="Müsli"), T0 + 5, "Mum")


def test_there_is_one_for_each_kind_of_content() -> None:
    assert KINDS == ("readings", "entries", "forecasts", "alerts")


def test_a_reading_is_its_time_source_value_and_trend_whatever_its_id() -> None:
    line = reading_line(Reading(T0, 104.5, "Flat", "dexcom-share", "r1"))
    assert line == b'[1795500000000,"dexcom-share",104.5,"Flat"]'
    assert reading_line(Reading(T0, 104.5, "Flat", "dexcom-share", "r2")) == line


def test_an_entry_is_its_content_and_revision_whenever_it_was_recorded() -> None:
    line = entry_line(MEAL)
    assert line == '[1795500000000,"e1","carbs",2,false,{"grams":20.0,"note":"Müsli","speed":"medium"}]'.encode()
    assert entry_line(MEAL._replace(recorded_ms=9, actor="Dad")) == line
    for other in (MEAL._replace(deleted=True), MEAL._replace(revision=3), MEAL._replace(data=CarbsEaten(grams=21))):
        assert entry_line(other) != line


def test_a_forecast_is_what_it_says_wherever_its_reading_lies() -> None:
    assert forecast_line(b'{"based_on":"r","pos":17,"mean":[1]}') == b'{"based_on":"r","mean":[1]}'
    assert forecast_line(b'{"pos":1,"x":"\\"pos\\":2,"}') == b'{"x":"\\"pos\\":2,"}'
    assert forecast_line(b'{"pos":1,"more":{"pos":2,"x":3}}') == b'{"more":{"pos":2,"x":3}}', (
        "only the first is the place"
    )


def test_a_row_of_the_alerts_is_its_moment_its_key_and_its_body() -> None:
    assert alert_line(T0, "low-1/1/opened", b"{}") == b"1795500000000 low-1/1/opened {}"


def test_a_day_is_one_of_utc() -> None:
    assert day_of(T0) == "2026-11-24"
    midnight = T0 // 86_400_000 * 86_400_000
    assert (day_of(midnight), day_of(midnight - 1), day_of(midnight + 86_399_999)) == (
        "2026-11-24",
        "2026-11-23",
        "2026-11-24",
    )
    assert day_of(0) == "1970-01-01"


def test_a_fingerprint_is_how_many_and_the_digest_of_their_sorted_lines() -> None:
    assert fingerprint([]) == (0, hashlib.sha256(b"").hexdigest())
    assert fingerprint([b"b", b"a"]) == (2, hashlib.sha256(b"a\nb").hexdigest())


@given(st.lists(st.binary(max_size=5), max_size=6), st.randoms())
def test_the_order_in_which_content_is_met_changes_no_fingerprint(lines: list[bytes], random: object) -> None:
    shuffled = list(lines)
    random.shuffle(shuffled)  # type: ignore[attr-defined] # hypothesis calls its generator an object
    assert fingerprint(shuffled) == fingerprint(iter(lines))
