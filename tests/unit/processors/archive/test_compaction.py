"""Which small segments become one: those of a day that is over."""

import pytest

from processors.archive import compaction
from processors.archive.chain import Link
from processors.archive.compaction import DAY_MS, MOST_BYTES, MOST_RECORDS, delay_ms, groups
from processors.archive.format import Manifest

HOUR = 3_600_000
DELAY = 600_000


def link(first_ms: int, last_ms: int | None = None, records: int = 1, size: int = 10) -> Link:
    manifest = Manifest(
        "log", "iv3.journal", 0, 0, 0, records, "", "", size, first_ms, last_ms if last_ms is not None else first_ms, ""
    )
    return Link(manifest, f"m{first_ms}", f"s{first_ms}", "")


def runs(links: list[Link], now_ms: int, delay: int = DELAY) -> list[list[int]]:
    return [[one.manifest.first_ms for one in run] for run in groups(links, now_ms, delay)]


def test_a_days_segments_are_merged_when_the_day_has_been_over_for_a_while() -> None:
    links = [link(0), link(HOUR), link(DAY_MS - 1)]
    assert runs(links, DAY_MS + DELAY - 1) == []
    assert runs(links, DAY_MS + DELAY) == [[0, HOUR, DAY_MS - 1]]
    assert runs([], DAY_MS) == []


def test_a_segment_that_reaches_into_the_next_day_is_over_when_it_ends() -> None:
    links = [link(DAY_MS - 5, DAY_MS + HOUR)]
    assert runs(links, DAY_MS + HOUR + DELAY - 1) == []
    assert runs(links, DAY_MS + HOUR + DELAY) == [[DAY_MS - 5]]


def test_days_are_merged_each_for_itself_and_today_waits() -> None:
    links = [link(0), link(HOUR), link(DAY_MS), link(DAY_MS + 5), link(2 * DAY_MS)]
    assert runs(links, 2 * DAY_MS + DELAY) == [[0, HOUR], [DAY_MS, DAY_MS + 5]]


def test_a_day_that_is_not_over_keeps_what_follows_it_waiting() -> None:
    links = [link(0), link(DAY_MS)]
    assert runs(links, DAY_MS + DELAY - 1) == []


def test_a_clock_that_once_stood_in_the_future_does_not_keep_everything_behind_it_small_for_ever() -> None:
    far = 100 * DAY_MS
    links = [link(far), link(0), link(5), link(DAY_MS)]
    assert runs(links, DAY_MS + DELAY) == [[far], [0, 5]]
    assert runs([link(far), link(DAY_MS)], DAY_MS + DELAY - 1) == []
    assert runs([link(far), link(DAY_MS)], DAY_MS + DELAY) == [[far]]


@pytest.mark.parametrize(("what", "most"), [("records", MOST_RECORDS), ("size", MOST_BYTES)])
def test_a_day_too_large_for_one_segment_becomes_several(what: str, most: int) -> None:
    half, rest = most // 2, most - most // 2
    links = [
        link(0, **{what: half}),
        link(1, **{what: rest}),
        link(2, **{what: 1}),
        link(3, **{what: most - 1}),
        link(4, **{what: 1}),
    ]  # type: ignore[arg-type] # a number of either kind
    assert runs(links, 2 * DAY_MS) == [[0, 1], [2, 3], [4]]


def test_one_segment_is_read_and_held_at_once_so_it_has_an_end() -> None:
    assert (MOST_RECORDS, MOST_BYTES, DAY_MS) == (50_000, 33_554_432, 86_400_000)


def test_two_logs_that_share_a_server_seldom_merge_at_the_same_time() -> None:
    assert delay_ms("00000000ffff") == 600_000
    assert delay_ms("00000001ffff") == 600_001
    assert delay_ms(f"{compaction._SPREAD_MS:08x}") == 600_000
    assert delay_ms(f"{compaction._SPREAD_MS - 1:08x}") == 600_000 + 3_600_000 - 1
