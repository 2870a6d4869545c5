"""List skipped tests with their reasons, and tests in no run; fail if a reason is none of those that are expected."""

import sys
import xml.etree.ElementTree as ET
from pathlib import Path

EXPECTED = (
    "IV3_TEST_NTFY",  # a real ntfy server comes from no package registry; the stand-in passes its recorded answers
    "not beside the checkout",  # data that the project must stand without
)
ABSENT = "not beside the checkout"


def _name(case: ET.Element) -> str:
    return f"{case.get('classname')}::{case.get('name')}"


def _collected(line: str) -> str:
    """The name that a line of `pytest --collect-only -q` has in a report."""
    path, _, rest = line.partition(".py::")
    head, bracket, values = rest.partition("[")
    *classes, function = head.split("::")
    return f"{'.'.join([*path.split('/'), *classes])}::{function}{bracket}{values}"


def main(collected: str, paths: list[str]) -> int:
    """Exit code: 1 if something was skipped, or left out of every run, that should have run."""
    bad = ran = 0
    cases = [case for path in paths for case in ET.parse(path).getroot().iter("testcase")]  # noqa: S314 - our own files
    shared = (Path(__file__).resolve().parents[2] / "shared").exists()
    for case in cases:
        skipped = case.find("skipped")
        if skipped is None:
            ran += 1
            continue
        reason = skipped.get("message", "")
        expected = any(word in reason for word in EXPECTED) and not (ABSENT in reason and shared)
        print(f"{'expected' if expected else 'UNEXPECTED'} skip: {_name(case)}: {reason}")
        bad += not expected
    there = {_collected(line) for line in Path(collected).read_text().splitlines() if ".py::" in line}
    left_out = there - {_name(case) for case in cases}
    for name in sorted(left_out):
        print(f"in NO RUN: {name}")
    print(f"{ran} tests ran, {bad} unexpected skips, {len(left_out)} in no run")
    return int(bad > 0 or ran == 0 or bool(left_out))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
