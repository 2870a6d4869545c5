"""How the archive is laid out: bytes in, bytes out, and every change of a byte is noticed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.archive.format import (
    ArchivedRecord,
    Head,
    Manifest,
    SegmentDamaged,
    check,
    day_manifest_key,
    day_segment_key,
    described_by,
    end_of,
    folder_of,
    head_key,
    manifest_key,
    manifest_of,
    pack,
    read_head,
    read_manifest,
    segment_key,
    sha256,
    unpack,
    write_head,
    write_manifest,
)

LOG = "0123456789abcdef"
RECORDS = [
    ArchivedRecord(5, 1000, b"me", b'{"x":1}'),
    ArchivedRecord(6, 1001, None, None),
    ArchivedRecord(7, 1007, b"\xff\x00", "Müsli\n".encode(), (("h", b"\xfe"), ("h", b"text"), ("empty", b""))),
]

values = st.one_of(
    st.none(), st.binary(max_size=20), st.text(max_size=20).map(lambda text: text.encode(errors="ignore"))
)
records = st.lists(
    st.builds(
        ArchivedRecord,
        st.integers(0, 10**12), st.integers(0, 10**14), values, values,
        st.lists(
            st.tuples(st.text(st.characters(codec="utf-8"), max_size=5), st.binary(max_size=5)), max_size=3
        ).map(tuple),
    ),
    max_size=8,
)  # fmt: skip


def segment(*, ends: str = "", previous: str = "") -> tuple[Manifest, bytes]:
    raw, compressed = pack(RECORDS)
    return manifest_of(LOG, "iv3.journal", 3, RECORDS, raw, compressed, previous)._replace(ends=ends), compressed


# -- where things lie ------------------------------------------------------------------------------


def test_everything_of_a_partition_lies_in_its_folder_and_is_named_by_its_first_offset() -> None:
    assert folder_of(LOG) == f"v1/{LOG}/"
    assert folder_of(LOG, "iv3.journal") == f"v1/{LOG}/iv3.journal/"
    assert folder_of(LOG, "iv3.journal", 0) == f"v1/{LOG}/iv3.journal/00000/"
    key = segment_key(LOG, "iv3.journal", 3, 17)
    assert key == f"v1/{LOG}/iv3.journal/00003/00000000000000000017.jsonl.zst"
    assert manifest_key(key) == f"v1/{LOG}/iv3.journal/00003/00000000000000000017.manifest.json"
    assert head_key(LOG) == f"v1/{LOG}/head.json"


def test_a_merged_segment_carries_its_digest_in_its_name_and_its_manifest_none() -> None:
    folder = f"v1/{LOG}/iv3.journal/00003/"
    assert (
        day_segment_key(LOG, "iv3.journal", 3, 5, "abcdef0123456789") == f"{folder}{5:020d}.day-abcdef012345.jsonl.zst"
    )
    assert day_manifest_key(LOG, "iv3.journal", 3, 5) == f"{folder}{5:020d}.day.manifest.json"
    small, _ = segment()
    assert described_by(small) == (f"{folder}{5:020d}.manifest.json", f"{folder}{5:020d}.jsonl.zst")
    day, _ = segment(ends="x")
    assert described_by(day) == (
        f"{folder}{5:020d}.day.manifest.json",
        f"{folder}{5:020d}.day-{day.sha256[:12]}.jsonl.zst",
    )


# -- records ---------------------------------------------------------------------------------------


@given(records, st.booleans())
def test_records_come_back_byte_for_byte(given_: list[ArchivedRecord], day: bool) -> None:
    raw, compressed = pack(given_, day=day)
    if given_:
        assert unpack(compressed) == (raw, given_)
    assert pack(given_, day=day) == (raw, compressed)


def test_a_line_is_json_that_people_can_read() -> None:
    raw, _ = pack(RECORDS)
    lines = raw.decode().splitlines()
    assert lines[0] == '{"offset":5,"timestamp_ms":1000,"key":"me","value":"{\\"x\\":1}"}'
    assert json.loads(lines[2])["key"] == {"base64": "/wA="}
    assert json.loads(lines[2])["headers"][0] == ["h", {"base64": "/g=="}]


@pytest.mark.parametrize(
    "damaged",
    [b"", b"no zstd", pack(RECORDS)[1][:-3], pack(RECORDS)[1][:20]],
)
def test_what_is_cut_short_or_no_segment_is_damaged(damaged: bytes) -> None:
    with pytest.raises(SegmentDamaged):
        unpack(damaged)


# -- manifests -------------------------------------------------------------------------------------


def test_a_manifest_says_what_its_segment_holds() -> None:
    manifest, compressed = segment(previous="p")
    raw, _ = pack(RECORDS)
    assert manifest == Manifest(
        LOG, "iv3.journal", 3, 5, 7, 3, sha256(raw), sha256(compressed), len(compressed), 1000, 1007, "p", ""
    )
    assert check(manifest, compressed) == RECORDS


def test_a_manifest_comes_back_as_it_was_written_and_only_a_days_names_both_ends() -> None:
    small, day = segment()[0], segment(ends="e")[0]
    assert read_manifest(write_manifest(small)) == small
    assert read_manifest(write_manifest(day)) == day
    assert json.loads(write_manifest(small))["format"] == 1
    assert "ends" not in json.loads(write_manifest(small))
    assert json.loads(write_manifest(day))["format"] == 2
    assert end_of(small, b"bytes") == sha256(b"bytes")
    assert end_of(day, b"bytes") == "e"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"format": 3}, "newer release"),
        ({"format": None}, "newer release"),
        ({"first": "5"}, "not of its kind"),
        ({"topic": 5}, "not of its kind"),
        ({"more": 1}, "is no manifest"),
        ({"ends": ""}, "not written as manifests are"),
        ({"format": 2}, "not written as manifests are"),
    ],
)
def test_a_changed_manifest_says_what_is_wrong_with_it(change: dict[str, Any], why: str) -> None:
    said = json.loads(write_manifest(segment()[0])) | change
    with pytest.raises(SegmentDamaged, match=why):
        read_manifest((json.dumps(said, indent=1) + "\n").encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"null", b'{"format":1}'])
def test_what_is_no_manifest_is_damaged(data: bytes) -> None:
    with pytest.raises(SegmentDamaged, match="is no manifest"):
        read_manifest(data)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"size": 1}, "instead of 1"),
        ({"sha256": "x"}, "another SHA-256"),
        ({"raw_sha256": "x"}, "holds other lines"),
        ({"first": 4}, "does not hold offsets"),
        ({"last": 8}, "does not hold offsets"),
        ({"records": 2}, "does not hold offsets"),
        ({"first_ms": 1}, "of another time"),
        ({"last_ms": 1}, "of another time"),
    ],
)
def test_a_segment_that_is_not_what_its_manifest_says_is_damaged(change: dict[str, Any], why: str) -> None:
    manifest, compressed = segment()
    with pytest.raises(SegmentDamaged, match=why):
        check(manifest._replace(**change), compressed)


# -- head ------------------------------------------------------------------------------------------


def head(**more: Any) -> bytes:
    ends = [("iv3.journal", 3, 8, "digest"), ("iv3.alerts", 0, 1, "other")]
    return write_head(LOG, ends, demo=True, written_ms=1234, **more)


def test_a_head_comes_back_as_it_was_written() -> None:
    ends = {("iv3.journal", 3): (8, "digest"), ("iv3.alerts", 0): (1, "other")}
    assert read_head(head()) == Head(LOG, True, 1234, ends, 12)
    assert read_head(head(partitions=24)) == Head(LOG, True, 1234, ends, 24)
    assert "partitions" not in json.loads(head())


def test_any_changed_byte_of_a_head_is_noticed() -> None:
    good = head()
    for place in range(len(good)):
        changed = good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]
        with pytest.raises(SegmentDamaged):
            read_head(changed)


def test_a_head_of_a_newer_release_or_of_something_else_says_so() -> None:
    said = json.loads(head())
    del said["sha256"]
    for change, why in (
        ({"format": 2}, "newer release"),
        ({"more": 1}, "says what no head says"),
        ({"heads": []}, "is no head"),
    ):
        with pytest.raises(SegmentDamaged, match=why):
            read_head(json.dumps(said | change).encode())
    beyond = said | {"heads": {"iv3.journal/12": {"next": 1, "manifest": "x"}}}
    with pytest.raises(SegmentDamaged, match="beyond the 12"):
        read_head(json.dumps(beyond).encode())
    last = said | {"heads": {"iv3.journal/11": {"next": 1, "manifest": "x"}}}
    assert read_head(json.dumps(last).encode()).heads == {("iv3.journal", 11): (1, "x")}
