"""Moving in from the older Go program: its buckets are read, page by page, and what the journal does not have yet is
appended.

The journal is what is compared with, so a second run adds only what came since, and one that broke off goes on where it
was.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pydantic_core

from processors.legacy.moving import LeftOut, LegacyImport, Row, UnknownInsulin
from schemas.envelope import Event, peek_type
from schemas.facts import CarbsEaten, GlucoseRead, InsulinTaken
from schemas.model import at_ms
from streams.adapters.legacy.buckets import CARBS, EVENTS, GLUCOSE, INSULIN, LegacyBucket, LegacyBuckets
from streams.ports.log import Log, Record, append_events
from streams.topics import JOURNAL, partition_of

Judge = Callable[[Row], Event | LeftOut | UnknownInsulin]
_BATCH = 1_000  # events of one append: a commit each, and little to do again after a cut
_MOST_NAMED = 1_000  # of what was left out; the rest is counted
_OURS = frozenset(fact.TYPE.encode() for fact in (GlucoseRead, InsulinTaken, CarbsEaten))


class RowLeftOut(NamedTuple):
    """One row that was left out."""

    bucket: str
    time_ms: int
    why: str


@dataclass
class MoveReport:
    """What was found, and what became of it."""

    dry_run: bool
    missing: list[str] = field(default_factory=list)  # buckets that are not there
    months: dict[str, dict[str, Counter[str]]] = field(default_factory=dict)  # bucket -> month -> what -> rows
    unknown: Counter[str] = field(default_factory=Counter)  # insulin -> doses
    left_out: list[RowLeftOut] = field(default_factory=list)
    told: int = 0  # what the older program told; kept there, for iv3 tells for itself

    def total(self, what: str) -> int:
        """Rows that were `found`, `new`, `known`, `left out` or `unknown`, of all buckets and months."""
        return sum(month[what] for months in self.months.values() for month in months.values())


class LegacyMove:
    """One run. `log` None: there is no log yet, and a dry run needs none."""

    def __init__(
        self,
        buckets: LegacyBuckets,
        log: Log | None,
        person: str,
        moving: LegacyImport,
        progress: Callable[[int, int], None],
    ) -> None:
        self._buckets, self._log, self._person, self._progress = buckets, log, person, progress
        self._judges: tuple[tuple[LegacyBucket, Judge], ...] = (
            (GLUCOSE, moving.reading),
            (INSULIN, moving.dose),
            (CARBS, moving.meal),
        )
        self._known: set[bytes] = set()
        self._done = self._total = 0

    async def run(self, *, dry_run: bool) -> MoveReport:
        """Append what is new, each batch durable before the next is read; in a dry run, count what there is and what
        would be new. Raises SeriesUnavailable, LogUnavailable, and as `Log.append`.
        """
        report = MoveReport(dry_run)
        there = [(bucket, judge) for bucket, judge in self._judges if await self._buckets.exists(bucket)]
        report.missing = [bucket.name for bucket, _ in self._judges if bucket not in [b for b, _ in there]]
        self._total = sum([await self._buckets.count(bucket) for bucket, _ in there])
        if await self._buckets.exists(EVENTS):
            report.told = await self._buckets.count(EVENTS)
        await self._know()
        for bucket, judge in there:
            fresh: list[Event] = []
            async for event in self._new(bucket, judge, report):
                fresh.append(event)
                if len(fresh) >= _BATCH:
                    await self._append(fresh, dry_run=dry_run)
                    fresh = []
            await self._append(fresh, dry_run=dry_run)
        return report

    async def _append(self, events: list[Event], *, dry_run: bool) -> None:
        if events and not dry_run and self._log is not None:
            await append_events(self._log, JOURNAL, events)

    async def _know(self) -> None:
        """Every id of the person that the journal has: 16 bytes each, so that ten years fit into a small machine."""
        if self._log is None:
            return
        subject = f'"subject":{pydantic_core.to_json(self._person).decode()}'.encode()

        def note(record: Record) -> None:
            value = record.value or b""
            if subject in value and peek_type(value) in _OURS:
                self._known.add(_key(str(pydantic_core.from_json(value)["id"])))

        partition = partition_of(self._person, self._log.partitions[JOURNAL])
        await self._log.fold(JOURNAL, partition, 0, None, note)

    async def _new(self, bucket: LegacyBucket, judge: Judge, report: MoveReport) -> AsyncIterator[Event]:
        months = report.months.setdefault(bucket.name, {})
        async for rows in self._buckets.pages(bucket):
            for what, month, event in self._judged(bucket, judge, rows, report):
                of_month = months.setdefault(month, Counter())
                of_month["found"] += 1
                of_month[what] += 1
                if event is not None:
                    yield event
            self._done += len(rows)
            self._progress(self._done, max(self._done, self._total))

    def _judged(
        self, bucket: LegacyBucket, judge: Judge, rows: list[Row], report: MoveReport
    ) -> Iterator[tuple[str, str, Event | None]]:
        for row in rows:
            month = f"{at_ms(row.time_ns // 1_000_000):%Y-%m}"
            found = judge(row)
            if isinstance(found, LeftOut):
                if len(report.left_out) < _MOST_NAMED:
                    report.left_out.append(RowLeftOut(bucket.name, *found))
                yield "left out", month, None
            elif isinstance(found, UnknownInsulin):
                report.unknown[found.name] += 1
                yield "unknown", month, None
            elif (key := _key(found.id)) in self._known:
                yield "known", month, None
            else:
                self._known.add(key)
                yield "new", month, found


def _key(name: str) -> bytes:
    """An id in few bytes; those that are no UUID of ours stay as they are."""
    packed = name.replace("-", "")
    try:
        return bytes.fromhex(packed) if len(packed) == 32 else name.encode()
    except ValueError:
        return name.encode()


def as_json(report: MoveReport) -> dict[str, Any]:
    """The report as scripts read it."""
    counted = ("found", "new", "known", "left out", "unknown")
    return {
        "dry_run": report.dry_run,
        **{what.replace(" ", "_"): report.total(what) for what in ("found", "new", "known", "left out")},
        "missing_buckets": report.missing,
        "unknown_insulins": dict(report.unknown),
        "alerts_not_imported": report.told,
        "months": {
            bucket: {month: {what.replace(" ", "_"): of[what] for what in counted} for month, of in months.items()}
            for bucket, months in report.months.items()
        },
        "left_out_rows": [
            {"bucket": row.bucket, "time": at_ms(row.time_ms).isoformat().replace("+00:00", "Z"), "why": row.why}
            for row in report.left_out
        ],
    }
