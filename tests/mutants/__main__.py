"""`python -m tests.mutants [--again] [PATH ...]`: break `processors` in every way that cosmic-ray knows, and count what
no unit test notices.

What is broken and which tests are asked stands in pyproject.toml, [tool.cosmic-ray]. The session stays in
.mutants/session.sqlite: an interrupted run goes on where it was, `--again` tries once more what was alive, `--fresh`
begins anew, and `cr-report .mutants/session.sqlite` shows each mutant.
"""

import argparse
import os
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from cosmic_ray.commands.init import init
from cosmic_ray.modules import find_modules
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, WorkerOutcome, WorkResult

from tests.mutants.report import Equivalents, report
from tests.mutants.trial import Trial, begin, verdict, warm_up

SESSION = Path(".mutants/session.sqlite")


def main(arguments: list[str]) -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.mutants")
    asked.add_argument("paths", nargs="*", default=["*"], help="only mutants of these modules")
    asked.add_argument("--fresh", action="store_true", help="forget the last session")
    asked.add_argument("--again", action="store_true", help="try once more what was alive")
    asked.add_argument("--write", action="store_true", help="write the table into docs/reference/mutation.md")
    asked.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    said = asked.parse_args(arguments)
    config = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["cosmic-ray"]
    SESSION.parent.mkdir(exist_ok=True)
    with use_db(SESSION, WorkDB.Mode.create) as session:
        if said.fresh or not session.num_work_items:
            init(sorted(find_modules([Path(p) for p in config["module-path"]])), session, {})
        chosen = list(wanted(session, said.paths, again=said.again))
        warm_up()
        run([trial_of(job_id, mutation, config) for job_id, mutation in chosen], session, said.jobs, config["timeout"])
        return report(session, Equivalents.read(), write=said.write)


def wanted(session: WorkDB, patterns: Iterable[str], *, again: bool) -> Iterator[tuple[str, MutationSpec]]:
    """Mutants without a verdict yet, or, if asked for, with the wrong one."""
    done = {job_id for job_id, result in session.results if not (again and result.is_killed is False)}
    items = [(item.job_id, item.mutations[0]) for item in session.work_items if item.job_id not in done]
    for job_id, mutation in sorted(items, key=lambda item: (str(item[1].module_path), item[1].start_pos)):
        if any(fnmatch(str(mutation.module_path), f"*{pattern}*") for pattern in patterns):
            yield job_id, mutation


def trial_of(job_id: str, mutation: MutationSpec, config: dict[str, Any]) -> Trial:
    """With the tests of the module's own files, and those that its room has beside them."""
    path = mutation.module_path
    of_its_name = Path("tests/unit", path.parent).glob(f"test_{path.stem}*.py")
    own = sorted(file for file in of_its_name if file.stem == f"test_{path.stem}" or _is_part(file, path))
    room = next(room for room in config["rooms"] if fnmatch(str(path), room["modules"]))
    beside = sorted({file for pattern in room["tests"] for file in Path("tests/unit").glob(pattern)} - set(own))
    return Trial(job_id, mutation, tuple(map(str, own)), tuple(map(str, beside)))


def _is_part(tests: Path, module: Path) -> bool:
    """`test_decide_ends.py` is of `decide.py`, unless there is a module `decide_ends.py`."""
    longer = f"{tests.stem.removeprefix('test_')}.py"
    return tests.stem.startswith(f"test_{module.stem}_") and not module.with_name(longer).exists()


def run(trials: list[Trial], session: WorkDB, jobs: int, limit_s: float) -> None:
    """Try them all, `jobs` at a time."""
    running: dict[int, Trial] = {}
    said: Counter[str] = Counter()
    begun, waiting = time.monotonic(), list(reversed(trials))
    while waiting or running:
        while waiting and len(running) < jobs:
            trial = waiting.pop()
            running[begin(trial, limit_s)] = trial
        pid, status = os.wait()
        trial = running.pop(pid)
        result = verdict(status)
        session.set_result(trial.job_id, result)
        said[outcome(result)] += 1
        if said.total() % 50 == 0 or not (waiting or running):
            print(f"{said.total()} of {len(trials)} after {time.monotonic() - begun:.0f} s: {dict(said)}", flush=True)


def outcome(result: WorkResult) -> str:
    """In a word."""
    if result.worker_outcome == WorkerOutcome.NORMAL:
        return "killed" if result.is_killed else "alive"
    return result.output or "alive"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
