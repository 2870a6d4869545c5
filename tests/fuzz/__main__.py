"""Ask a fresh demo every operation it documents, by Schemathesis, and compare what fails with the list of known
failures.

    python -m tests.fuzz [EXAMPLES]       exit code 1 on a failure that is not listed, and on a listed one that passes
    python -m tests.fuzz --accept         write the list anew

The list is Schemathesis's own baseline, `known_failures.json` beside this file: an entry leaves it in the commit that
mends it.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.up import Up

KNOWN = Path(__file__).with_name("known_failures.json")
EXAMPLES = "8"  # of each operation; the phase before it tries each parameter's edges, whatever this number
SEED = "1922"  # what is found once is found again
LIMIT_S = 600
# It takes 429 for "let in": wrong tokens are refused with 401, and after a few in a minute with 429. What it asks is
# asked of every route in tests/api.
NO_CHECK = "ignored_auth"
STREAM = "stream"  # an answer that never ends is no request and reply


def _run(up: Up, folder: Path, examples: str) -> tuple[set[str], dict[str, str]]:
    """(known ids, what failed in this run by id)."""
    found = folder / "found.json"
    command = [
        shutil.which("schemathesis", path=str(Path(sys.executable).parent)) or "schemathesis",
        "run",
        f"{up.url}/openapi.json",
        "--header",
        f"Authorization: Bearer {up.token}",
        "--phases",
        "coverage,fuzzing",
        "--max-examples",
        examples,
        "--seed",
        SEED,
        "--generation-deterministic",
        "--exclude-path-regex",
        STREAM,
        "--continue-on-failure",
        "--no-shrink",
        "--request-timeout",
        "20",
        "--exclude-checks",
        NO_CHECK,
        "--baseline",
        str(found),
        "--baseline-update",
        "--no-color",
        "--warnings",
        "off",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if not found.exists() or "Tested: 0" in done.stdout:
        raise SystemExit(done.stdout + done.stderr + up.said())
    (folder / "said.txt").write_text(done.stdout)
    print(done.stdout[done.stdout.rfind("= SUMMARY =") :])
    listed = json.loads(KNOWN.read_text())["entries"] if KNOWN.exists() else []
    entries = json.loads(found.read_text())["entries"]
    return {entry["id"] for entry in listed}, {
        entry["id"]: f"{entry['operation']}: {entry['check']} {entry['signature']}".strip() for entry in entries
    }


def main(arguments: list[str]) -> int:
    """The exit code."""
    accept = "--accept" in arguments
    (examples,) = [word for word in arguments if word.isdigit()] or [EXAMPLES]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        up = Up(folder / "data")
        up.start()
        try:
            known, failed = _run(up, folder, examples)
        finally:
            up.kill()
        if accept:
            shutil.copy(folder / "found.json", KNOWN)
            return 0
        new, mended = failed.keys() - known, known - failed.keys()
        if new:
            print((folder / "said.txt").read_text())
    for one in sorted(new):
        print(f"NEW: {one}: {failed[one]}")
    for one in sorted(mended):
        print(f"MENDED: {one}: take it out of {KNOWN.name}")
    return int(bool(new or mended))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
