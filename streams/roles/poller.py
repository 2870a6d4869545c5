"""The poller: asks the glucose source, appends what the journal does not have, and how the source answers.

The journal is its memory: on assignment it reads which ids of the last day are there, when a log-in is allowed again,
and the newest reading. So a restart neither doubles a reading nor locks an account. People come and go by the roster,
and by what the journal says of them.
"""

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import replace

from processors.sources import polling
from processors.sources.account import Account, PersonAccounts, is_news
from schemas.envelope import Author, Event, peek_type
from schemas.facts import GlucoseRead, SourceState, SourceStateChanged
from schemas.identity import derived_id, reading_id
from schemas.model import Partition, at_ms
from streams.errors import SourceRefused, SourceUnreachable, Transient
from streams.ports.clock import Clock
from streams.ports.log import Log, Record, append_events
from streams.ports.source import Fetched, GlucoseSource
from streams.roster import Roster
from streams.runtime.report import Metric, RoleReport
from streams.runtime.role import MakeApp, Role
from streams.runtime.snapshots import Snapshots
from streams.topics import JOURNAL, partition_of

logger = logging.getLogger("iv3.poller")

VERSION = "2"  # of a snapshot
_LONGEST_ASKED_WAIT_S = 600.0  # a source that asks for more is mistaken, and the person would go unwatched
MOST_AT_ONCE = 50  # requests in flight; each holds a socket and up to 10 s
_LONGEST_SPREAD_S = 60.0
_REMEMBERED = (b"iv3.reading.", b"iv3.source-state.", b"iv3.person-")
_LEAST_WAIT_S = 0.02  # real seconds, however fast the clock


class Poller(Role):
    """Each person's source has exactly one poller: the member that holds the person's partition."""

    name = "poller"
    topics = (JOURNAL,)

    def __init__(self, log: Log, clock: Clock, make_app: MakeApp, roster: Roster) -> None:
        super().__init__(log, clock, make_app)
        self.roster = roster
        self._snapshots = Snapshots(self.log, clock, self.name, VERSION)
        self.people: dict[str, PersonAccounts] = {}
        self._changed = asyncio.Event()
        self._at_once = asyncio.Semaphore(MOST_AT_ONCE)
        self._mine: frozenset[int] = frozenset()
        self.watching: dict[str, GlucoseSource] = {}
        self._writing: dict[tuple[str, str], asyncio.Task[None]] = {}  # (person, source) -> what is being appended

    async def fold(self, committed: Mapping[Partition, int]) -> Mapping[Partition, int]:
        """Take up snapshots, read what the journal knows since of the people of these partitions, and start at its
        head.
        """
        self.people, self.watching, self._writing = {}, {}, {}
        start: dict[Partition, int] = {}
        for topic, partition in committed:
            floor, people = await self._snapshots.load(partition, PersonAccounts.load)
            self.people |= people
            start[topic, partition] = await self.fold_log(topic, partition, floor, None, self._remember)
        self._mine = frozenset(partition for _, partition in committed)
        return start

    async def handle(self, record: Record) -> None:
        """Keep up with the journal."""
        person = self._remember(record)
        if person is not None:
            await self._snapshots.changed(record.partition, person, self.people, record.offset + 1)

    def _remember(self, record: Record) -> str | None:
        """Take a record in; whose it is, if it is one that matters here."""
        if not peek_type(record.value).startswith(_REMEMBERED):
            return None
        event = self.event_of(record)
        accounts = self.people.setdefault(event.subject, PersonAccounts(event.subject))
        if record.offset < accounts.offset:
            return None
        if accounts.take(event, record.offset):
            self._changed.set()
        self._snapshots.touched(record.partition, event.subject)
        return event.subject

    def account(self, person: str, source: str) -> Account:
        """What is known of one person's source, by the source's name."""
        return self.people.setdefault(person, PersonAccounts(person)).account(source)

    def report(self, person: str = "") -> RoleReport:
        """See `Role.report`: how many accounts are asked."""
        common = super().report(person)
        return replace(common, metrics=(*common.metrics, Metric("iv3_poller_accounts", len(self.watching))))

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
            and (person not in self.people or self.people[person].suspended_ms == 0)
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
            except Exception:
                account.misses += 1  # what nobody foresaw in one account's answer must not end the others' loops
                logger.exception("asking for %s failed", person)
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
            account.skew_s = self.clock.correct_from(fetched.server_time_ms)
        if fetched.rejected:
            logger.warning(
                "%s rows of %s could not be read: %s", len(fetched.rejected), source.title, fetched.rejected[0]
            )
        fresh = await self._append(account, source, fetched)
        account.misses = 0 if fresh else account.misses + 1
        state, reason = self._judge(account, source, fetched)
        await self._say(account, source, state, reason, account.login.after_success())
        return 0.0

    async def _append(self, account: Account, source: GlucoseSource, fetched: Fetched) -> int:
        writing = self._writing.get((account.person, source.name))
        if writing is not None:  # of a loop that was ended meanwhile; what it wrote is known once it is done
            done, _ = await asyncio.wait([writing])
            # Only now: this loop may be ended while it waits, too.
            self._writing.pop((account.person, source.name), None)
            if any(task.exception() for task in done if not task.cancelled()):
                logger.info("what was being written of %s is asked for again", account.person)
        now, author = self.clock.now_ms(), Author(source.name)
        events: list[Event] = []
        for reading in fetched.readings:
            name = reading_id(source.name, source.account, reading.time_ms, reading.glucose_mgdl, reading.trend)
            if name in account.known:
                continue
            data = GlucoseRead.model_validate({"glucose_mgdl": reading.glucose_mgdl, "trend": reading.trend})
            events.append(author.say(data, name, account.person, now, time_ms=reading.time_ms))
        if events:
            writing = asyncio.ensure_future(self._write(account, events))
            self._writing[account.person, source.name] = writing
            await asyncio.shield(writing)
        return len(events)

    async def _write(self, account: Account, events: list[Event]) -> None:
        await append_events(self.log, JOURNAL, events)
        for event in events:
            account.saw(event.id, event.time_ms)

    @staticmethod
    def _judge(account: Account, source: GlucoseSource, fetched: Fetched) -> tuple[SourceState, str]:
        if fetched.readings:
            return "ok", ""
        if fetched.sensor_codes:
            return "no_data", f"the sensor sends code {fetched.sensor_codes[-1].code} instead of a value"
        if account.newest_ms is None:
            return "no_data", f"no readings in the last 24 h: {source.nothing_hint}"
        return "no_data", "no readings in the time asked for"

    async def _say(
        self, account: Account, source: GlucoseSource, state: SourceState, reason: str, login: polling.LoginPolicy
    ) -> None:
        """Append the source's state if it is news, or the first since the start: then everybody knows that it was
        asked.
        """
        account.login = login  # whatever becomes of the record: no try may be forgotten
        now = self.clock.now_ms()
        data = SourceStateChanged(
            state=state,
            reason=reason[:500],
            refusals=login.refusals,
            no_login_before=at_ms(login.no_login_before_ms) if login.no_login_before_ms else None,
            clock_skew_s=account.skew_s,
        )
        if account.polls > 1 and account.state is not None and not is_news(account.state, data):
            return
        name = derived_id("source", account.person, source.name, now)
        await append_events(self.log, JOURNAL, [Author(source.name).say(data, name, account.person, now)])
        account.state = data


def _jitter(source: GlucoseSource, now_ms: int) -> float:
    """A number in 0..1 that spreads accounts; it needs to be spread, not random."""
    mixed = hashlib.blake2b(f"{source.account}{now_ms}".encode(), digest_size=4).digest()
    return int.from_bytes(mixed, "big") / 2**32
