"""Who takes a partition over goes on from the last snapshot of its alerts: quickly, and with everything that is due."""

from typing import Any

import pytest

from processors.alerting.outbox import Outbox, Step
from processors.alerting.serialization import VERSION, dump_outbox
from schemas.alerts import (
    AlertEvent,
    AlertsDecided,
    Delivered,
    DeliveryAttempted,
    Evidence,
    TargetAdded,
    Undeliverable,
)
from schemas.bookkeeping import SnapshotTaken
from schemas.envelope import decode, encode, make
from schemas.model import at_ms
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.delivery.channels import Channels
from streams.delivery.outbox_snapshots import OutboxSnapshots
from streams.roles.alerter import Alerter
from streams.roles.notifier import AlarmNotifier
from streams.roster import Roster, Watched
from streams.runtime.snapshots import EVERY
from streams.topics import ALERTS, SNAPSHOTS, partition_of
from tests.support.clock import SetClock
from tests.support.phone import Phone
from tests.support.running import app_maker, caught_up, running, until

T0 = 1_795_500_000_000
MIN, DAY = 60_000, 86_400_000
P = partition_of("me")


class Diary:
    """Writes alerts as an alerter and a notifier would have."""

    def __init__(self, log: SqliteLog) -> None:
        self.log, self.number, self.now_ms = log, 0, T0 - 30 * DAY

    async def add(self, *data: Any, key: str = "me") -> None:
        events = []
        for one in data:
            self.number += 1
            self.now_ms += MIN
            name, at = f"d{self.number}", at_ms(self.now_ms)
            events.append(encode(make(one, id=name, source="test", subject=key, time=at, recordedtime=at)))
        await self.log.append(ALERTS, key, events, partition=P)

    def decided(self, episode: str, change: Any, step: int = 1, kind: Any = "low", **more: Any) -> AlertsDecided:
        event = AlertEvent(
            change=change,
            episode=episode,
            kind=kind,
            step=step,
            priority=4,
            urgency=2,
            at=at_ms(self.now_ms),
            evidence=Evidence(glucose_mgdl=61.0),
            **more,
        )
        return AlertsDecided(pos=(self.number, 0, 0), events=(event,))

    @staticmethod
    def told(kind: Any, episode: str, step: int, target: str = "phone", **more: Any) -> Any:
        return kind(
            episode=episode, step=step, target=target, sequence_id=Step(episode, step, target).sequence_id, **more
        )

    async def alarm(self, episode: str, target: str = "phone") -> None:
        """One that was sent, and its all-clear too."""
        for change, step in (("opened", 1), ("resolved", 0)):
            sent = [self.told(kind, episode, step, target=target) for kind in (DeliveryAttempted, Delivered)]
            await self.add(self.decided(episode, change), *sent)


@pytest.fixture
async def diary(log: SqliteLog) -> Diary:
    made = Diary(log)
    await made.add(TargetAdded(target="phone"), key="phone")
    return made


def folding(role: AlarmNotifier) -> list[int]:
    """The offsets of the alerts that it folds."""
    folded, fold_one = list[int](), role._fold_one

    def noting(record: Any) -> None:
        if record.partition == P:
            folded.append(record.offset)
        fold_one(record)

    role._fold_one = noting  # type: ignore[method-assign]  # the test listens in
    return folded


async def snapshots(log: SqliteLog, fold: str) -> list[SnapshotTaken]:
    found = [decode(record.value).data for record in await log.read(SNAPSHOTS, P, 0, None, 10_000)]
    return [data for data in found if isinstance(data, SnapshotTaken) and data.role == fold]


async def test_the_notifier_goes_on_from_a_snapshot_with_all_that_is_due(log: SqliteLog, diary: Diary) -> None:
    for n in range(EVERY // 6 + 1):
        await diary.alarm(f"low-{n}")
    diary.now_ms = T0 - 10 * MIN
    told = diary.told
    await diary.add(
        diary.decided("a", "opened", kind="low"), told(DeliveryAttempted, "a", 1)
    )  # and no word of what became of it
    await diary.add(diary.decided("b", "opened", kind="high"), told(DeliveryAttempted, "b", 1))
    await diary.add(told(Undeliverable, "b", 1, reason="the token is wrong", final=False))
    await diary.add(
        diary.decided("c", "opened", kind="stale"), told(DeliveryAttempted, "c", 1), told(Delivered, "c", 1)
    )
    await diary.add(diary.decided("c", "resolved", kind="stale", quiet=True))
    seen = Outbox(("phone",))
    await log.fold(ALERTS, P, 0, None, lambda record: seen.evolve(decode(record.value)))
    remembered = OutboxSnapshots(log, SetClock(T0), ("phone",))
    await remembered.recall(P)
    await log.fold(ALERTS, P, 0, None, lambda record: remembered.take(record, decode(record.value)))
    await remembered.keep((P,))

    phone = Phone()
    phone.knows = {"a-1"}
    again = AlarmNotifier(log, SetClock(T0), app_maker(log), Channels(targets=(phone,)))
    folded, fold = folding(again), again.fold
    at_first: list[str] = []

    async def noting(committed: Any) -> Any:
        start = await fold(committed)
        at_first.append(dump_outbox(again.outboxes[P]))
        return start

    again.fold = noting  # type: ignore[method-assign]  # the test listens in
    async with running(again):
        assert at_first == [dump_outbox(seen)]
        await until(lambda: not again.waiting())
        await until(lambda: "clear c-1" in phone.sent)
        await caught_up([again])
        head = log.heads[ALERTS, P]
    assert folded
    assert folded[0] >= EVERY, "what a snapshot covers is not read again"
    assert phone.asked == ["a-1"], "an attempt without an outcome is asked about"
    assert phone.sent == ["b-1", "clear c-1"], (
        "what was refused is sent, what ended without a word is cleared, and nothing else"
    )
    assert head > folded[0]


async def test_after_a_long_fold_and_while_it_runs_the_notifier_writes_snapshots(log: SqliteLog, diary: Diary) -> None:
    for n in range(EVERY // 6 + 1):
        await diary.alarm(f"low-{n}")
    role = AlarmNotifier(log, SetClock(T0), app_maker(log), Channels(targets=(Phone(),)))
    async with running(role):
        await until(lambda: log.heads.get((SNAPSHOTS, P), 0) == 1)
        for n in range(EVERY // 6 + 1):
            await diary.alarm(f"high-{n}")
        await caught_up([role])
        await until(lambda: log.heads.get((SNAPSHOTS, P), 0) == 2)
    taken = await snapshots(log, "notifier-alerts")
    assert [data.version for data in taken] == [VERSION] * 2
    assert taken[0].offset < taken[1].offset <= log.heads[ALERTS, P]
    assert all(data.person is None for data in taken)


async def test_messages_of_the_day_are_counted_across_a_snapshot(log: SqliteLog, diary: Diary) -> None:
    diary.now_ms = T0 // DAY * DAY + MIN
    for n in range(EVERY // 6 + 1):
        await diary.alarm(f"low-{n}")
    for _ in range(2):
        role = AlarmNotifier(log, SetClock(T0), app_maker(log), Channels(targets=(Phone(),)))
        folded = folding(role)
        async with running(role):
            await until(lambda: log.heads.get((SNAPSHOTS, P), 0) == 1)
            assert role.sent_today("phone") == 2 * (EVERY // 6 + 1)
    assert len(folded) < EVERY


@pytest.mark.parametrize("other", ["log", "version", "targets"])
async def test_a_snapshot_of_another_log_or_version_or_of_other_phones_is_left_alone(
    log: SqliteLog, diary: Diary, other: str
) -> None:
    for n in range(EVERY // 6 + 1):
        await diary.alarm(f"low-{n}")
    roster = Roster(house=(Phone(),))
    first = AlarmNotifier(log, SetClock(T0), app_maker(log), Channels(), roster=roster)
    async with running(first):
        await until(lambda: log.heads.get((SNAPSHOTS, P), 0) == 1)
    (taken,) = await snapshots(log, "notifier-alerts")
    if other == "targets":
        roster = Roster(house=(Phone("other"),))
    else:
        changed = {"log": {"log_id": "another"}, "version": {"version": "0"}}[other]
        data = taken.model_copy(update={**changed, "state": "nonsense"})
        wrong = make(data, id="w", source="test", subject="w", time=at_ms(T0), recordedtime=at_ms(T0))
        await log.append(SNAPSHOTS, "notifier-alerts//partition", [encode(wrong)], partition=P)
        await log.compact(SNAPSHOTS)
    again = AlarmNotifier(log, SetClock(T0), app_maker(log), Channels(), roster=roster)
    folded = folding(again)
    async with running(again):
        await caught_up([again])
    assert folded[0] == 0
    assert not again.waiting()


async def test_somebody_whose_phone_is_gone_is_told_of_nothing_that_was_decided_before(
    log: SqliteLog, diary: Diary
) -> None:
    """Whoever was told is a fact of the log, so that what a roster lacks at a start (a restored log has no accounts)
    pages nobody with the past.
    """
    own = Roster({"me": Watched(target=Phone("own"))}, house=(Phone(),))
    async with running(first := AlarmNotifier(log, SetClock(T0), app_maker(log), Channels(), roster=own)):
        await until(lambda: first.outboxes[P].told == {"me": ("own",)})
    for n in range(EVERY // 6 + 1):
        await diary.alarm(f"low-{n}", target="own")
    for _ in range(2):
        async with running(
            again := AlarmNotifier(log, SetClock(T0), app_maker(log), Channels(), roster=Roster(house=(Phone(),)))
        ):
            await until(lambda: again.outboxes[P].told == {})
            assert not again.waiting()
        assert again.roster.notifiers()["phone"].sent == []  # type: ignore[attr-defined]  # its phone only notes what it is sent


async def test_the_alerter_goes_on_from_a_snapshot_of_its_own_decisions(log: SqliteLog, diary: Diary) -> None:
    for n in range(EVERY // 6 + 1):
        await diary.alarm(f"low-{n}")
    await diary.add(diary.decided("open", "opened", kind="high"))
    first = Alerter(log, SetClock(T0), app_maker(log))
    async with running(first):
        await first.tick()
        known = first.episodes[P]
    again, folded = Alerter(log, SetClock(T0), app_maker(log)), list[int]()
    silently = again.fold_log

    async def noting(topic: str, partition: int, start: int, to: int | None, step: Any) -> int:
        if topic == ALERTS and partition == P:
            folded.append(start)
        return await silently(topic, partition, start, to, step)

    again.fold_log = noting  # type: ignore[method-assign]  # the test listens in
    async with running(again):
        assert again.episodes[P] == known
        assert folded[0] > EVERY
