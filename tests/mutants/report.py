"""What came of it, module by module, and which of the living do what our code does."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cosmic_ray.work_db import WorkDB
from cosmic_ray.work_item import MutationSpec, WorkerOutcome

from tests.mutants.trial import lines_of

LISTED = Path("tests/mutants/equivalent.txt")
PAGE = Path("docs/reference/mutation.md")
_BEGIN, _END = "<!-- the table -->", "<!-- the end of the table -->"
LEAST_KILLED, MOST_EQUIVALENT = 0.90, 0.03


class Equivalent(NamedTuple):
    """A mutant that nobody can tell from our code, and why."""

    module: str
    ours: str
    mutant: str
    why: str


class Equivalents:
    """The list, which people keep by hand."""

    def __init__(self, rows: Iterable[Equivalent]) -> None:
        self._rows = list(rows)

    @classmethod
    def read(cls) -> "Equivalents":
        """Four lines each: the module, our line, the mutant's line, the reason; an empty line between two."""
        text = LISTED.read_text() if LISTED.exists() else ""
        blocks = [block.splitlines() for block in text.split("\n\n") if block.strip()]
        return cls(Equivalent(*(line.strip() for line in block)) for block in blocks)

    def find(self, mutation: MutationSpec) -> Equivalent | None:
        """The row of a mutant that is on the list."""
        ours, mutant = lines_of(mutation)
        named = (str(mutation.module_path), ours, mutant)
        return next((row for row in self._rows if (row.module, row.ours, row.mutant) == named), None)


def report(session: WorkDB, equivalents: Equivalents, *, write: bool) -> int:
    """Print what is alive, and the table; 1 if too few were killed."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    listed: list[Equivalent] = []
    for item, result in session.completed_work_items:
        mutation = item.mutations[0]
        of = counts[str(mutation.module_path)]
        of["mutants"] += 1
        if result.worker_outcome == WorkerOutcome.NORMAL and result.is_killed:
            of["killed"] += 1
            continue
        of["alive"] += 1
        row = equivalents.find(mutation)
        if row is not None:
            of["equivalent"] += 1
            listed.append(row)
            continue
        ours, mutant = lines_of(mutation)
        print(f"\n{mutation.module_path}:{mutation.start_pos[0]} {mutation.operator_name} {result.output or ''}")
        print(f"- {ours}\n+ {mutant}")
    lines = table(counts)
    print("\n" + "\n".join(lines))
    if write:
        before, _, rest = PAGE.read_text().partition(_BEGIN)
        _, _, after = rest.partition(_END)
        said = "\n".join([*lines, "", "Equivalent are:", "", *(told(row) for row in sorted(listed))])
        PAGE.write_text(f"{before}{_BEGIN}\n{said}\n{_END}{after}")
    everything = sum(counts.values(), Counter())
    too_many = everything["equivalent"] > MOST_EQUIVALENT * everything["mutants"]
    return int(too_many or any(of["killed"] < LEAST_KILLED * of["mutants"] for of in rooms(counts).values()))


def told(equivalent: Equivalent) -> str:
    """One equivalent mutant, for the page."""
    return f"- `{equivalent.module}`: `{equivalent.mutant}` instead of `{equivalent.ours}`. {equivalent.why}"


def rooms(counts: dict[str, Counter[str]]) -> dict[str, Counter[str]]:
    """The sums of each folder, and of the modules that lie in none."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for module, of in counts.items():
        room = str(Path(module).parent)
        found[module if room == "processors" else room].update(of)
    return found


def table(counts: dict[str, Counter[str]]) -> list[str]:
    """The table of the page."""
    lines = ["| module | mutants | killed | alive | of these equivalent | killed, % |", "|---|---|---|---|---|---|"]
    for module, of in sorted(counts.items()):
        lines.append(canonical_of(f"`{module}`", of))
    for room, of in sorted(rooms(counts).items()):
        lines.append(canonical_of(f"**{room}**", of))
    lines.append(canonical_of("**all**", sum(counts.values(), Counter())))
    return lines


def canonical_of(name: str, of: Counter[str]) -> str:
    """One line of it."""
    percent = 100 * of["killed"] / of["mutants"] if of["mutants"] else 100
    return f"| {name} | {of['mutants']} | {of['killed']} | {of['alive']} | {of['equivalent']} | {percent:.1f} |"
