"""The chain of one partition of the archive: what counts, what was merged, and what is wrong with the rest."""

import pytest

from processors.archive import format as segments
from processors.archive.chain import (
    Chain,
    Link,
    ObjectName,
    chain,
    check_head,
    manifests_wanted,
    object_name,
    partition_of_key,
)
from processors.archive.format import ArchivedRecord, Head, Manifest

LOG, PLACE = "0123456789abcdef", ("iv3.journal", 3)
Objects = dict[str, bytes]


def records(first: int, last: int) -> list[ArchivedRecord]:
    return [ArchivedRecord(offset, 1000 + offset, b"me", b"x") for offset in range(first, last + 1)]


def put(objects: Objects, first: int, last: int, previous: str, ends: str = "", log_id: str = LOG) -> str:
    """A segment with its manifest; what the next one names as its previous."""
    raw, compressed = segments.pack(records(first, last))
    manifest = segments.manifest_of(log_id, *PLACE, records(first, last), raw, compressed, previous)._replace(ends=ends)
    described, segment = segments.described_by(manifest)
    objects[described], objects[segment] = segments.write_manifest(manifest), compressed
    return segments.end_of(manifest, objects[described])


def three() -> tuple[Objects, list[str]]:
    """Three small segments: 0 to 4, 5 to 9, 10 to 14."""
    objects: Objects = {}
    ends = [""]
    for first in (0, 5, 10):
        ends.append(put(objects, first, first + 4, ends[-1]))
    return objects, ends


def read(objects: Objects, log_id: str = LOG, since: tuple[int, str] = (0, "")) -> Chain:
    return chain(log_id, PLACE, objects, {key: objects[key] for key in manifests_wanted(objects)}, since)


def key_of(first: int, *, manifest: bool = False) -> str:
    segment = segments.segment_key(LOG, *PLACE, first)
    return segments.manifest_key(segment) if manifest else segment


# -- names -----------------------------------------------------------------------------------------


def test_the_name_of_an_object_says_what_it_is() -> None:
    small, digest = key_of(7), "0123456789ab"
    assert object_name(small) == ObjectName(small, 7, False, False)
    assert object_name(key_of(7, manifest=True)) == ObjectName(key_of(7, manifest=True), 7, False, True)
    day = segments.day_segment_key(LOG, *PLACE, 7, digest)
    assert object_name(day) == ObjectName(day, 7, True, False)
    described = segments.day_manifest_key(LOG, *PLACE, 7)
    assert object_name(described) == ObjectName(described, 7, True, True)


@pytest.mark.parametrize(
    "name",
    [
        "head.json",
        "7.jsonl.zst",
        f"{7:020d}.day.jsonl.zst",
        f"{7:020d}.day-0123456789ab.manifest.json",
        f"{7:020d}.jsonl.zst.x",
    ],
)
def test_any_other_name_is_none_of_a_partitions(name: str) -> None:
    assert object_name(f"v1/{LOG}/iv3.journal/00003/{name}") is None


def test_a_key_says_in_which_partition_it_lies() -> None:
    assert partition_of_key(key_of(7)) == PLACE
    assert partition_of_key(f"v1/{LOG}/head.json") is None
    assert partition_of_key(f"v1/{LOG}/iv3.journal/x/y") is None


# -- a chain that is whole -------------------------------------------------------------------------


def test_segments_that_follow_one_another_are_a_chain() -> None:
    objects, ends = three()
    found = read(objects)
    assert [(link.manifest.first, link.manifest.last) for link in found.links] == [(0, 4), (5, 9), (10, 14)]
    assert (found.following, found.end) == (15, ends[-1])
    assert (found.problems, found.leftovers, found.undescribed) == ([], [], [])
    assert [link.segment for link in found.links] == [key_of(first) for first in (0, 5, 10)]


def test_nothing_is_a_chain_too() -> None:
    assert read({}) == Chain(PLACE)


def test_a_chain_may_be_followed_from_a_place_on() -> None:
    objects, ends = three()
    later = {key: value for key, value in objects.items() if f"{0:020d}" not in key}
    assert read(later, since=(5, ends[1])).problems == []
    assert read(later, since=(5, "other")).problems == [
        f"{key_of(5, manifest=True)} does not follow the manifest before it: one of the two was changed"
    ]


# -- a chain that is not ---------------------------------------------------------------------------


def test_a_missing_segment_is_told() -> None:
    objects, _ = three()
    del objects[key_of(5)]
    assert read(objects).problems == [f"{key_of(5)} is missing"]


def test_missing_records_are_told_with_their_offsets() -> None:
    objects, _ = three()
    del objects[key_of(5)], objects[key_of(5, manifest=True)]
    assert f"{key_of(10)}: records 5 to 9 before it are missing" in read(objects).problems


def test_records_that_two_manifests_describe_are_told() -> None:
    objects, _ = three()
    put(objects, 12, 16, "x")
    found = read(objects)
    assert found.problems == [f"{key_of(12, manifest=True)} describes records that another manifest describes too"]
    assert found.following == 15


def test_a_manifest_that_was_changed_breaks_the_chain_behind_it() -> None:
    objects: Objects = {}
    put(objects, 0, 4, "")
    put(objects, 5, 9, "not the one before")
    assert read(objects).problems == [
        f"{key_of(5, manifest=True)} does not follow the manifest before it: one of the two was changed"
    ]


def test_a_damaged_manifest_is_one_problem_and_not_two() -> None:
    objects, _ = three()
    objects[key_of(10, manifest=True)] = b"{}"
    (problem,) = read(objects).problems
    assert problem.startswith(f"{key_of(10, manifest=True)} is no manifest")


def test_a_manifest_that_lies_in_the_wrong_place_is_told() -> None:
    objects, _ = three()
    assert all("it lies in the wrong place" in problem for problem in read(objects, "another log").problems[:3])
    moved: Objects = {key_of(5, manifest=True): objects[key_of(10, manifest=True)]}
    assert read(moved).problems == [
        f"{key_of(5, manifest=True)} describes iv3.journal/3 from 10: it lies in the wrong place"
    ]


def test_what_a_stopped_writer_left_is_harmless_and_what_nobody_wrote_is_told() -> None:
    objects, _ = three()
    objects[key_of(15)] = b"begun"
    assert read(objects).undescribed == [key_of(15)]
    objects[key_of(16)] = b"nobody's"
    objects[f"v1/{LOG}/iv3.journal/00003/notes.txt"] = b""
    assert read(objects).problems == [
        f"{key_of(16)} is not part of this archive: no manifest describes it",
        f"v1/{LOG}/iv3.journal/00003/notes.txt is not part of this archive: no manifest describes it",
    ]


# -- days ------------------------------------------------------------------------------------------


def merged() -> tuple[Objects, list[str]]:
    """The same three, of which the first two were merged into a day; the small ones were not deleted yet."""
    objects, ends = three()
    put(objects, 0, 9, "", ends=ends[2])
    return objects, ends


def test_a_day_stands_for_the_small_segments_that_it_replaced() -> None:
    objects, ends = merged()
    found = read(objects)
    assert [(link.manifest.first, link.manifest.last, bool(link.manifest.ends)) for link in found.links] == [
        (0, 9, True),
        (10, 14, False),
    ]
    assert found.problems == []
    assert set(found.leftovers) == {key_of(n, manifest=m) for n in (0, 5) for m in (False, True)}
    assert (found.following, found.end) == (15, ends[3])


def test_a_merger_that_was_stopped_leaves_a_segment_that_nobody_describes() -> None:
    objects, ends = three()
    begun = segments.day_segment_key(LOG, *PLACE, 5, "0" * 12)
    objects[begun] = b""
    assert read(objects).undescribed == [begun]
    assert (read(objects).problems, ends[0]) == ([], "")
    inside = segments.day_segment_key(LOG, *PLACE, 6, "0" * 12)
    assert read(three()[0] | {inside: b""}).problems == [
        f"{inside} is not part of this archive: no manifest describes it"
    ]


# -- the head --------------------------------------------------------------------------------------


def test_a_head_that_names_the_end_of_the_chain_or_an_earlier_one_agrees_with_it() -> None:
    objects, ends = three()
    found = read(objects)
    assert [found.check_head(5 * n, ends[n]) for n in range(4)] == ["", "", "", ""]
    assert found.check_head(20, "x") == "iv3.journal/3: the archive ends at 15, its head says 20"
    gone = "iv3.journal/3: the manifest that the head names is not there"
    assert found.check_head(10, "x") == gone
    assert found.check_head(12, ends[2]) == gone


def test_a_manifest_that_the_head_names_may_have_been_merged_away() -> None:
    objects, ends = merged()
    found = read(objects)
    assert found.check_head(5, ends[1]) == ""
    assert found.check_head(10, ends[2]) == ""
    assert found.check_head(12, ends[2]) == ""


def test_a_head_names_every_partition() -> None:
    objects, ends = three()
    other = ("iv3.journal", 4)
    chains = {PLACE: read(objects)}
    good = Head(LOG, False, 0, {PLACE: (15, ends[3])})
    assert check_head(chains, good) == []
    worse = Head(LOG, False, 0, {PLACE: (15, ends[3]), other: (1, "x")})
    assert check_head(chains, worse) == ["iv3.journal/4: the archive ends at 0, its head says 1"]


def test_a_link_knows_where_its_parts_lie() -> None:
    objects, ends = three()
    (link, *_) = read(objects).links
    assert isinstance(link.manifest, Manifest)
    assert link == Link(link.manifest, key_of(0, manifest=True), key_of(0), ends[1])
