"""The poller: asks the glucose source, appends what the journal does not have, and how the source answers.

The journal is its memory: on assignment it reads which ids of the last day are there, when a log-in is allowed again, and the newest reading. So a
restart neither doubles a reading nor locks an account. People come and go by the roster, and by what the journal says of them.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from processors.readings import reading_of
from processors.sources import polling
from schemas.envelope import Event, encode, make
from schemas.facts import GlucoseRead, PersonAdded, PersonSuspended, SourceState, SourceStateChanged
from schemas.identity import derived_id, reading_id
from schemas.model import at_ms, ms
from streams.errors import SourceRefused, SourceUnreachable, Transient
from streams.ports.clock import Clock
from streams.ports.log import Log, Partition, Record
from streams.ports.source import Fetched, GlucoseSource
from streams.roster import Roster
from streams.runtime.role import MakeApp, Role
from streams.runtime.snapshots import Snapshots
from streams.topics import JOURNAL, partition_of

logger = logging.getLogger("iv3.poller")

VERSION = "1"  # of a snapshot
_LEAST_REMEMBERED = 600  # ids; a day at one in five minutes are 288
_REMEMBER_MS = 26 * 3_600_000  # a source gives 24 h; two more for clocks that disagree
_SKEW_NEWS_S = 30.0  # a clock that is wrong by as much more is news
_LONGEST_ASKED_WAIT_S = 600.0  # a source that asks for more is mistaken, and the person would go unwatched
MOST_AT_ONCE = 50  # requests in flight; each holds a socket and up to 10 s
_LONGEST_SPREAD_S = 60.0
_REMEMBERED = (b'"type":"iv3.reading.', b'"type":"iv3.source-state.', b'"type":"iv3.person-')
_LEAST_WAIT_S = 0.02  # real seconds, however fast the clock


@dataclass
class Account:
    """One person, and what the journal says of their source. Kept of everybody, for a person may be added while this runs."""

    person: str
    known: dict[str, int] = field(default_factory=dict)  # reading id -> time_ms, of the last day
    newest_ms: int | None = None
    state: SourceStateChanged | None = None
    login: polling.LoginPolicy = field(default_factory=polling.LoginPolicy)
    misses: int = 0
    polls: int = 0
    writing: "asyncio.Task[None] | None" = None
    forget_at: int = _LEAST_REMEMBERED
    skew_s: float | None = (
        None  # how far this machine's clock is ahead of the source's, where that is more than a minute
    )

    def saw(self, name: str, time_ms: int) -> None:
        """A reading is in the journal. What a source gives no more is forgotten now and then."""
        self.known[name] = time_ms
        self.newest_ms = max(self.newest_ms or 0, time_ms)
        if len(self.known) >= self.forget_at:
            self.known = {i: t for i, t in self.known.items() if t >= self.newest_ms - _REMEMBER_MS}
            self.forget_at = max(_LEAST_REMEMBERED, 2 * len(self.known))

    def hear(self, state: SourceStateChanged) -> None:
        """How the source answered."""
        self.state = state
        before = state.no_login_before
        self.login = polling.LoginPolicy(state.refusals, ms(before) if before else 0)


@dataclass
class Ledger:
    """One person's accounts by the name of the source, and whether the person is suspended: what a snapshot keeps."""

    person: str
    offset: int = 0
    suspended_ms: int = -1  # when that was accepted, while they are
    accounts: dict[str, Account] = field(default_factory=dict)

    def account(self, source: str) -> Account:
        """What is known of one source."""
        return self.accounts.setdefault(source, Account(self.person))

    def take(self, event: Event, offset: int) -> bool:
        """Take a record of the journal in; whether the person came or went by it."""
        self.offset = offset + 1
        reading = reading_of(event)
        if reading is not None:
            self.account(event.source).saw(reading.id, reading.time_ms)
        elif isinstance(event.data, SourceStateChanged):
            self.account(event.source).hear(event.data)
        elif isinstance(event.data, PersonSuspended):
            self.suspended_ms = (
                event.recorded_ms
            )  # the last word in the log counts, whatever the clocks of those who said it
            return True
        elif isinstance(event.data, PersonAdded):
            self.suspended_ms = -1
            return True
        return False

    def dump(self) -> str:
        """The state as text."""
        accounts = {
            source: {"known": a.known, "newest_ms": a.newest_ms, "state": a.state.model_dump(mode="json") if a.state is not None else None}
            for source, a in self.accounts.items()
        }  # fmt: skip
        return json.dumps({"person": self.person, "suspended_ms": self.suspended_ms, "accounts": accounts})

    @classmethod
    def load(cls, state: str, offset: int) -> "Ledger":
        """The state a snapshot holds."""
        raw = json.loads(state)
        ledger = cls(raw["person"], offset, raw["suspended_ms"])
        for source, said in raw["accounts"].items():
            account = ledger.account(source)
            account.known, account.newest_ms = said["known"], said["newest_ms"]
            if said["state"] is not None:
                account.hear(SourceStateChanged.model_validate_json(json.dumps(said["state"])))
        return ledger


class Poller(Role):
    """Each person's source has exactly one poller: the member that holds the person's partition."""

    name = "poller"
    topics = (JOURNAL,)

    def __init__(self, log: Log, clock: Clock, make_app: MakeApp, roster: Roster) -> None:
        super().__init__(log, clock, make_app)
        self.roster = roster
        self._snapshots = Snapshots(self.log, clock, self.name, VERSION)
        self.people: dict[str, Ledger] = {}
        self._changed = asyncio.Event()
        self._at_once = asyncio.Semaphore(MOST_AT_ONCE)
        self._mine: frozenset[int] = frozenset()
        self.watching: dict[str, GlucoseSource] = {}

    async def fold(self, committed: Mapping[Partition, int]) -> Mapping[Partition, int]:
        """Take up snapshots, read what the journal knows since of the people of these partitions, and start at its head."""
        self.people, self.watching = {}, {}
        start: dict[Partition, int] = {}
        for topic, partition in committed:
            floor, states = await self._snapshots.load(partition)
            self.people |= {person: Ledger.load(state, at) for person, (state, at) in states.items()}
            start[topic, partition] = await self.silently(topic, partition, floor, None, self._remember)
        self._mine = frozenset(partition for _, partition in committed)
        return start

    async def handle(self, record: Record) -> None:
        """Keep up with the journal."""
        person = self._remember(record)
        if person is not None:
            await self._snapshots.changed(record.partition, person, self.people, record.offset + 1)

    def _remember(self, record: Record) -> str | None:
        """Take a record in; whose it is, if it is one that matters here."""
        value = record.value or b""
        if not any(word in value for word in _REMEMBERED):
            return None
        event = self.event_of(record)
        ledger = self.people.setdefault(event.subject, Ledger(event.subject))
        if record.offset < ledger.offset:
            return None
        if ledger.take(event, record.offset):
            self._changed.set()
        self._snapshots.touched(record.partition, event.subject)
        return event.subject

    def account(self, person: str, source: str) -> Account:
        """What is known of one person's source, by the source's name."""
        return self.people.setdefault(person, Ledger(person)).account(source)

    async def work(self) -> None:
        """One loop per account, for as long as the roster names it and nobody suspended the person."""
        tasks: dict[str, tuple[GlucoseSource, asyncio.Task[None]]] = {}
        end = self.roster.subscribe(self._changed.set)
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    self._changed.clear()
                    wanted = self._wanted()
                    for person in [p for p, (source, _) in tasks.items() if wanted.get(p) is not source]:
                        tasks.pop(person)[1].cancel()
                    for person in [p for p in wanted if p not in tasks]:
                        tasks[person] = (wanted[person], group.create_task(self._watch(person, wanted[person])))
                    self.watching = wanted
                    await self._changed.wait()
        finally:
            end()

    def _wanted(self) -> dict[str, GlucoseSource]:
        """Whom this member asks for: those of its partitions who have a source and are not suspended."""
        partitions = self.log.partitions[JOURNAL]
        return {
            person: watched.source
            for person, watched in self.roster.people.items()
            if watched.source is not None
            and (person not in self.people or self.people[person].suspended_ms < 0)
            and partition_of(person, partitions) in self._mine
        }

    async def _watch(self, person: str, source: GlucoseSource) -> None:
        account = self.account(person, source.name)
        account.misses = account.polls = 0
        if len(self.roster.people) > MOST_AT_ONCE:  # a thousand log-ins in one second look like an attack
            spread_s = min(_LONGEST_SPREAD_S, len(self.roster.people) / MOST_AT_ONCE)
            await asyncio.sleep(spread_s * _jitter(source, self.clock.now_ms()) / self.clock.speed)
        while True:
            asked_to_wait_s = 0.0
            try:
                async with self._at_once:
                    asked_to_wait_s = await self._poll(account, source)
            except Transient as error:
                account.misses += 1  # the source is asked again as after any miss, and gives the same readings again
                logger.warning("the log does not take readings: %s", error)
            now = self.clock.now_ms()
            due = polling.next_poll_at_ms(account.newest_ms, now, account.misses, _jitter(source, now))
            wait_s = max((due - now) / 1000, min(asked_to_wait_s, _LONGEST_ASKED_WAIT_S))
            await asyncio.sleep(max(_LEAST_WAIT_S, wait_s / self.clock.speed))

    async def _poll(self, account: Account, source: GlucoseSource) -> float:
        """Ask once; append new readings, then how the source answered if that is news (always at the first time).

        Returns how many seconds the source wants to be left alone.
        """
        now = self.clock.now_ms()
        minutes, count = polling.window(polling.ask_back_to(account.known.values(), now), now)
        account.polls += 1
        try:
            fetched = await source.latest(minutes, count, may_log_in=account.login.may_log_in(now))
        except SourceRefused as error:
            login = account.login.after_refusal(error.kind, now)
            account.misses += 1
            await self._say(account, source, "refused", str(error), login)
            return 0.0
        except SourceUnreachable as error:
            account.misses += 1
            if account.state is not None and account.state.state == "refused" and not account.login.may_log_in(now):
                # A refused log-in may not be tried again yet: that is why, whatever else is.
                await self._say(account, source, "refused", account.state.reason, account.login)
            else:
                await self._say(account, source, "unreachable", str(error), account.login)
            return error.retry_after_s or 0.0
        if fetched.server_time_ms is not None:
            account.skew_s = self.clock.heard(fetched.server_time_ms)
        fresh = await self._append(account, source, fetched)
        account.misses = 0 if fresh else account.misses + 1
        state, reason = self._judge(account, fetched)
        await self._say(account, source, state, reason, account.login.after_success())
        return 0.0

    async def _append(self, account: Account, source: GlucoseSource, fetched: Fetched) -> int:
        if account.writing is not None:  # of a loop that was ended meanwhile; what it wrote is known once it is done
            done, _ = await asyncio.wait([account.writing])
            account.writing = None
            if any(task.exception() for task in done if not task.cancelled()):
                logger.info("what was being written of %s is asked for again", account.person)
        now = at_ms(self.clock.now_ms())
        events: list[Event] = []
        for reading in fetched.readings:
            name = reading_id(source.name, source.account, reading.time_ms, reading.glucose_mgdl, reading.trend)
            if name in account.known:
                continue
            data = GlucoseRead.model_validate({"glucose_mgdl": reading.glucose_mgdl, "trend": reading.trend})
            events.append(
                make(
                    data, id=name, source=source.name, subject=account.person, time=at_ms(reading.time_ms), recordedtime=now
                )
            )  # fmt: skip
        if events:
            account.writing = asyncio.ensure_future(self._write(account, events))
            await asyncio.shield(account.writing)
        return len(events)

    async def _write(self, account: Account, events: list[Event]) -> None:
        await self.log.append(JOURNAL, account.person, [encode(event) for event in events])
        for event in events:
            account.saw(event.id, event.time_ms)

    @staticmethod
    def _judge(account: Account, fetched: Fetched) -> tuple[SourceState, str]:
        if fetched.readings:
            return "ok", ""
        if fetched.sensor_codes:
            return "no_data", f"the sensor sends code {fetched.sensor_codes[-1][1]} instead of a value"
        if account.newest_ms is None:
            return (
                "no_data",
                "no readings in the last 24 h: is sharing on, with at least one follower, and is the region right?",
            )
        return "no_data", "no readings in the time asked for"

    async def _say(
        self, account: Account, source: GlucoseSource, state: SourceState, reason: str, login: polling.LoginPolicy
    ) -> None:
        """Append the source's state if it is news, or the first since the start: then everybody knows that it was asked."""
        account.login = login  # whatever becomes of the record: no try may be forgotten
        now = self.clock.now_ms()
        data = SourceStateChanged(
            state=state, reason=reason[:500], refusals=login.refusals,
            no_login_before=at_ms(login.no_login_before_ms) if login.no_login_before_ms else None,
            clock_skew_s=account.skew_s,
        )  # fmt: skip
        if account.polls > 1 and account.state is not None and not _is_news(account.state, data):
            return
        event = make(
            data, id=derived_id("source", account.person, source.name, now), source=source.name,
            subject=account.person, time=at_ms(now), recordedtime=at_ms(now),
        )  # fmt: skip
        await self.log.append(JOURNAL, account.person, [encode(event)])
        account.state = data


def _is_news(known: SourceStateChanged, data: SourceStateChanged) -> bool:
    if (known.state, known.refusals, known.no_login_before) != (data.state, data.refusals, data.no_login_before):
        return True
    before, after = known.clock_skew_s, data.clock_skew_s
    if before is None or after is None:
        return before is not after
    return abs(after - before) > _SKEW_NEWS_S


def _jitter(source: GlucoseSource, now_ms: int) -> float:
    """A number in 0..1 that spreads accounts; it needs to be spread, not random."""
    mixed = hashlib.blake2b(f"{source.account}{now_ms}".encode(), digest_size=4).digest()
    return int.from_bytes(mixed, "big") / 2**32
