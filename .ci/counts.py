"""Print what tests counted: the lines that each wrote on standard output."""

import sys
import xml.etree.ElementTree as ET


def main(path: str) -> None:
    """One line of a test after the other, under its name."""
    for case in ET.parse(path).getroot().iter("testcase"):  # noqa: S314 - our own file
        lines = [line.strip() for line in (case.findtext("system-out") or "").splitlines()]
        said = [line for line in lines if line and not line.startswith("---")]
        if said:
            print(case.get("name"), *(line[:300] for line in said), sep="\n    ")


if __name__ == "__main__":
    main(sys.argv[1])
