"""One mutant on trial: a forked interpreter imports the broken module in the place of ours and runs the unit tests
until one fails.
"""

import difflib
import gc
import importlib.abc
import importlib.util
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import cosmic_ray.plugins
import pytest
from cosmic_ray.mutating import mutate_code
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkResult
from hypothesis import Phase, settings

PYTEST = (
    *("-x", "-q", "-m", "not golden", "-n", "0", "--noconftest", "--tb=no", "-p", "no:cacheprovider"),
    *("-o", "timeout=0", "-o", "addopts=", "--import-mode=importlib"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # its plugins were imported before the fork
)
_IMPOSSIBLE = 77
_IDLE = 30  # of real time: so many times the limit of work


class Trial(NamedTuple):
    """A mutant, and the test files that may kill it: its own module's, and, where that lets it live, the room's."""

    job_id: str
    mutation: MutationSpec
    own: tuple[str, ...]
    beside: tuple[str, ...]

    @property
    def module(self) -> str:
        """The dotted name of what is broken."""
        return ".".join(self.mutation.module_path.with_suffix("").parts).removesuffix(".__init__")


class _Broken(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds one module, whose source is not what lies in its file."""

    def __init__(self, module: str, path: Path, source: str) -> None:
        self._module, self._path, self._source = module, path, source

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._module:
            return None
        where = str(self._path.resolve())
        package = [str(self._path.resolve().parent)] if self._path.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(fullname, where, loader=self, submodule_search_locations=package)  # type: ignore[arg-type] # a loader is one that executes

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._source, str(self._path), "exec"), module.__dict__)  # noqa: S102 - that is what a mutant is for


def warm_up() -> None:
    """Import whatever is not on trial, once for all forks."""
    settings.register_profile(
        "mutants", derandomize=True, database=None, phases=(Phase.explicit, Phase.generate), deadline=None
    )
    settings.load_profile("mutants")
    with _silence():
        pytest.main([*PYTEST, "--collect-only", "tests/unit/schemas"])
    for name in [name for name in sys.modules if name.partition(".")[0] in ("processors", "tests")]:
        if not name.startswith("tests.mutants"):
            del sys.modules[name]
    gc.freeze()  # what is there now is never looked at again, nor copied for it


@contextmanager
def _silence() -> Iterator[None]:
    kept = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        for number, fd in enumerate(kept, 1):
            os.dup2(fd, number)
            os.close(fd)


def begin(trial: Trial, limit_s: float) -> int:
    """Start the trial in a process of its own, which ends by itself after `limit_s` of work, however busy the machine
    is; its id.
    """
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        signal.setitimer(signal.ITIMER_PROF, limit_s)  # nobody catches the alarm: it ends the process
        signal.setitimer(signal.ITIMER_REAL, _IDLE * limit_s)  # and this one a process that waits for ever
        code = _judge(trial)
    finally:
        os._exit(code)


def _judge(trial: Trial) -> int:
    path = trial.mutation.module_path
    gc.disable()
    source = mutated(trial.mutation)
    if source is None:
        return _IMPOSSIBLE
    sys.meta_path.insert(0, _Broken(trial.module, path, source))
    code = 0
    with _silence():
        for tests in (trial.own, trial.beside):
            if tests and code == 0:
                code = int(pytest.main([*PYTEST, *tests]))
    return code


def mutated(mutation: MutationSpec) -> str | None:
    """The module's source with the mutation."""
    operator = cosmic_ray.plugins.get_operator(mutation.operator_name)(**mutation.operator_args)
    found: str | None = mutate_code(mutation.module_path.read_text(), operator, mutation.occurrence)
    return found


def lines_of(mutation: MutationSpec) -> tuple[str, str]:
    """(the line as we have it, as the mutant has it)."""
    before, after = mutation.module_path.read_text(), mutated(mutation) or ""
    said = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    return (
        " / ".join(line[2:].strip() for line in said if line.startswith("- ")),
        " / ".join(line[2:].strip() for line in said if line.startswith("+ ")),
    )


def verdict(status: int) -> WorkResult:
    """What the end of a trial's process means. One that had to be ended is no kill."""
    if os.WIFSIGNALED(status):
        ended = os.WTERMSIG(status)
        what = "timeout" if ended in (signal.SIGPROF, signal.SIGALRM) else f"ended by signal {ended}"
        return WorkResult(WorkerOutcome.ABNORMAL, what, TestOutcome.SURVIVED)
    match os.WEXITSTATUS(status):
        case 0:
            return WorkResult(WorkerOutcome.NORMAL, "", TestOutcome.SURVIVED)
        case 1 | 2:  # a test failed, or the tests could not even be imported
            return WorkResult(WorkerOutcome.NORMAL, "", TestOutcome.KILLED)
        case code:
            return WorkResult(WorkerOutcome.EXCEPTION, f"pytest ended with {code}", TestOutcome.SURVIVED)
