"""The alerter: decides once. Journal and forecasts come by Faust; its own alerts it follows with `Log.read`.

Per partition, under one lock shared with the ticks: follow the alerts to the head, decide, append, read back, unlock. A
decision is one record.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar

from processors.alerting import serialization as remembering
from processors.alerting.decide import decide
from processors.alerting.episodes import Episodes
from processors.alerting.many_people import shared_troubles, watched_and_silent
from processors.alerting.person_state import VERSION, PersonState
from processors.alerting.rules import SystemState, system_troubles_of
from processors.alerting.serialization import dump_episodes, load_episodes
from schemas.alerts import AlertsDecided, DecisionPosition
from schemas.bookkeeping import PartitionEvaluated, RecordErased
from schemas.envelope import SYSTEM, Event, decode
from schemas.forecasts import ForecastMade
from schemas.identity import decision_id, derived_id, digest
from schemas.model import Partition, at_ms
from streams.errors import PartitionLost, StreamError, Transient
from streams.ports.clock import Clock
from streams.ports.log import Log, Record, append_events
from streams.roster import Roster
from streams.runtime.assignment import Assignment
from streams.runtime.heartbeats import COMPLAINT_LASTS_MS, Heartbeats
from streams.runtime.report import Metric, RoleReport
from streams.runtime.role import MakeApp, Role
from streams.runtime.snapshots import PartitionSnapshots, Snapshots
from streams.topics import ALERTS, FORECASTS, HEARTBEATS, JOURNAL, partition_of

logger = logging.getLogger("iv3.alerter")

TICK_S = 10.0  # of the role's clock; alarms that time alone calls for are at most this late
_SHORTEST_TICK_S = 0.2  # real seconds, however fast the clock
_CATCH_UP_S = 2.0
BEHIND_S = 120.0
_HEARTBEAT_MS = 60_000
_SHORTEST_BEAT_S = 1.0  # real seconds, however fast the clock
_COMPLAINT_LASTS_S = 5.0  # real seconds, at least
_AT_A_STRETCH = 50  # people
_MOST_MET = 5
_LOOK_BACK = 1_000  # forecasts; a person whose newest is further back has no fresh reading
LATE = "alarms are running late: readings wait to be evaluated"
# It names nobody: where people have only phones of their own, each of them reads it.
_UNEVALUATED = "somebody's alarms cannot be evaluated (the log of this process says whose)"


class Alerter(Role):
    """Journal, forecasts and ticks in; decisions out."""

    name = "alerter"
    topics = (JOURNAL, FORECASTS)
    batch: ClassVar[int] = 100

    def __init__(
        self,
        log: Log,
        clock: Clock,
        make_app: MakeApp,
        *,
        roster: Roster | None = None,
        troubles: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        super().__init__(log, clock, make_app)
        self._roster, self._troubles = roster or Roster(), troubles
        self._started_ms = self._looked_ms = clock.now_ms()
        self._up_ms = 0
        self._snapshots = Snapshots(self.log, clock, self.name, VERSION)
        self._decided = PartitionSnapshots(self.log, clock, f"{self.name}-alerts", remembering.VERSION)
        self.people: dict[str, PersonState] = {}
        self.episodes: dict[int, Episodes] = {}
        self._alerts_at: dict[int, int] = {}
        self._locks: dict[int, asyncio.Lock] = {}
        self._where: dict[str, int] = {}
        self._in_hand: set[str] = set()
        self._forecasts_at: dict[int, int] = {}  # partition -> the next forecast that was never seen
        self.ticks = self.skipped_ticks = self.skipped_forecasts = 0
        self.evaluated_ms = 0
        self._behind_since: float | None = None
        self._heartbeat_ms = 0
        self._pulse = Heartbeats(self.log)
        self.late = False  # readings have waited for two minutes to be evaluated
        # What of iv3 or of this machine shows in anybody's data, where it is not told about each of them.
        self.met: list[str] = []
        self._unevaluated: dict[str, str] = {}  # people whose tick failed in a way that nobody foresaw, and how

    async def fold(self, committed: Mapping[Partition, int]) -> Mapping[Partition, int]:
        """Fold the own alerts to the head, and the journal silently to the committed offset."""
        self.people, self._where = {}, {}
        self.episodes, self._alerts_at, self._locks = {}, {}, {}
        for kept in (self._in_hand, self._forecasts_at, self._unevaluated):
            kept.clear()
        for (topic, partition), offset in committed.items():
            if topic != JOURNAL:
                continue
            self._alerts_at[partition], known = await self._decided.load(partition)
            self.episodes[partition] = load_episodes(known) if known else Episodes()
            self._locks[partition] = asyncio.Lock()
            await self._follow(partition)
            floor, people = await self._snapshots.load(partition, PersonState.load)
            self.people |= people
            self._where |= dict.fromkeys(people, partition)
            await self.fold_log(topic, partition, min(floor, offset), offset, self._quietly)
            await self._recall_forecasts(partition, committed.get((FORECASTS, partition), 0))
        return {}

    async def _recall_forecasts(self, partition: int, to: int) -> None:
        """The forecasts of the newest readings, if they were handled already: they will not come again."""

        def step(record: Record) -> None:
            forecast = self.event_of(record)
            state, data = self.people.get(forecast.subject), forecast.data
            if state is not None and isinstance(data, ForecastMade) and data.pos == state.newest_offset:
                state.take_forecast(data)

        await self.fold_log(FORECASTS, partition, max(0, to - _LOOK_BACK), to, step)

    def _quietly(self, record: Record) -> None:
        event = self.event_of(record)
        if isinstance(event.data, RecordErased):
            self._pass_over(event, record)
            return
        state = self._state_of(event.subject, record.partition)
        if record.offset >= state.offset:
            state.take(event, record.offset)
            self._snapshots.touched(record.partition, event.subject)

    def _pass_over(self, event: Event, record: Record) -> None:
        """What an erasure left belongs to nobody. In the house's own partition it may have been the newest that the
        house's decisions stand on, and they must not stand further back than before; in any other its place is not one
        of the house's.
        """
        if record.topic == JOURNAL and record.partition == partition_of(SYSTEM, self.log.partitions[JOURNAL]):
            house = self._state_of(SYSTEM, record.partition)
            if record.offset >= house.offset:
                house.take(event, record.offset)
                self._snapshots.touched(record.partition, SYSTEM)

    def _state_of(self, person: str, partition: int) -> PersonState:
        self._where[person] = partition
        return self.people.setdefault(person, PersonState(person))

    async def _follow(self, partition: int) -> None:
        """Evolve from what is in the log, and from nothing else."""

        def step(record: Record) -> None:
            event = decode(record.value)
            self._decided.folded(partition)
            if isinstance(event.data, AlertsDecided):
                self.episodes[partition].evolve(event.subject, event.data)

        self._alerts_at[partition] = await self.fold_log(ALERTS, partition, self._alerts_at[partition], None, step)

    async def handle_batch(self, records: Sequence[Record]) -> None:
        """Take each in and decide, in order; the alerts of a partition are followed once for all that is there, or a
        backlog would be worked off at the pace of the log's answers.
        """
        came: dict[int, list[tuple[Record, Event]]] = {}
        for record in records:
            event = self.event_of(record)
            came.setdefault(record.partition, []).append((record, event))
        assignment = self.assignment
        for partition, inputs in came.items():
            self._still(assignment)
            async with self._locks[partition]:
                await self._follow(partition)
                for record, event in inputs:
                    self._still(assignment)
                    await self._take(record, event)
            for record, event in inputs:
                self._still(assignment)
                if record.topic == JOURNAL and not isinstance(event.data, RecordErased):
                    await self._snapshots.changed(partition, event.subject, self.people, record.offset + 1)

    def _still(self, assignment: Assignment | None) -> None:
        """What began in one assignment must not go on in the next, whose fold is not to have it. Raises
        PartitionLost.
        """
        if assignment is None or self.assignment is not assignment:
            raise PartitionLost("the partitions moved while this was in hand")

    async def _take(self, record: Record, event: Event) -> None:
        """Take the record in, then decide. The partition's alerts were followed under its lock."""
        if isinstance(event.data, RecordErased):
            self._pass_over(event, record)
            return
        state = self._state_of(event.subject, record.partition)
        self._in_hand.add(event.subject)  # until it is decided; a tick must not go past it
        if record.topic == JOURNAL:
            if record.offset >= state.offset:
                state.take(event, record.offset)
            await self._decide(state, record.partition, DecisionPosition(record.offset, 0, 0))
        elif isinstance(event.data, ForecastMade) and self._foresee(state, record, event.data):
            await self._decide(state, record.partition, DecisionPosition(event.data.pos, 1, 0))
        self._in_hand.discard(event.subject)

    def _foresee(self, state: PersonState, record: Record, forecast: ForecastMade) -> bool:
        """Whether the forecast counts. One that comes again after an outage was overtaken by what came with it: it is
        not late for that.
        """
        again = record.offset < self._forecasts_at.get(record.partition, 0)
        self._forecasts_at[record.partition] = max(record.offset + 1, self._forecasts_at.get(record.partition, 0))
        if again and forecast.pos != state.newest_offset:
            return False
        counts = state.take_forecast(forecast)
        self.skipped_forecasts += not counts
        return counts

    async def give_up(self, record: Record, reason: str) -> None:
        """See `Role.give_up`; from then on ticks look at the person again."""
        await super().give_up(record, reason)
        self._in_hand.discard((record.key or b"").decode("utf-8", "replace"))

    async def _decide(
        self, state: PersonState, partition: int, position: DecisionPosition, troubles: Sequence[str] | None = ()
    ) -> None:
        """Under the partition's lock, after the alerts were read to their head under it. `troubles` None: the house is
        told of them.
        """
        now_ms = self.clock.now_ms()
        through = self.episodes[partition].through.get(state.person)
        if through is not None and position.tick_ms and position.offset == through.offset and position <= through:
            # The clock was set back; a tick is a later one all the same.
            position = through._replace(tick_ms=through.tick_ms + 1)
        has_source = state.source is not None or self._roster.source(state.person) is not None
        system = self._system_state(has_source=has_source, troubles=troubles)
        decided = decide(state, self.episodes[partition], position, now_ms, system)
        if decided is None:
            return
        body = decided.model_dump_json()
        name = decision_id(state.person, position.offset, position.stage, digest(body.encode()))
        event = self.author.say(decided, name, state.person, now_ms)
        assignment = self.assignment
        await append_events(self.log, ALERTS, [event])
        self._still(assignment)
        self.progress.moved_at = asyncio.get_running_loop().time()  # a batch of many decisions is no standstill
        await self._follow(partition)

    def _system_state(self, *, has_source: bool = True, troubles: Sequence[str] | None = ()) -> SystemState:
        behind, house_told = self._behind_since is not None, troubles is None
        return SystemState(self._started_ms, self._up_ms, has_source, tuple(troubles or ()), behind, house_told)

    def report(self, person: str = "") -> RoleReport:
        """See `Role.report`: through when alarms were decided, and what of iv3 shows in people's data."""
        common = super().report(person)
        metrics = (
            Metric("iv3_alerter_ticks_total", self.ticks),
            Metric("iv3_alerter_skipped_ticks_total", self.skipped_ticks),
            Metric("iv3_alerter_skipped_forecasts_total", self.skipped_forecasts),
        )
        return replace(
            common,
            troubles=(*[LATE] * self.late, *self.met[:_MOST_MET], *common.troubles),
            metrics=(*common.metrics, *metrics),
            evaluated_ms=self.evaluated_ms,
        )

    # -- ticks -------------------------------------------------------------------------------------

    async def work(self) -> None:
        """Evaluate what time alone calls for."""
        while True:
            await asyncio.sleep(max(_SHORTEST_TICK_S, TICK_S / self.clock.speed))
            try:
                await self.tick()
            except Transient as error:
                self.skipped_ticks += 1
                logger.warning("a tick was skipped: %s", error)

    async def tick(self) -> None:
        """One look at what time alone calls for, for everybody of the partitions. Raises Transient where the log cannot
        be asked.
        """
        loop = asyncio.get_running_loop()
        moment = self.clock.now_ms()
        self._up_ms += max(0, moment - self._looked_ms)
        self._looked_ms = moment
        mine = self.progress.next_offset
        heads = {place: head for place, head in (await self.log.latest(self.topics)).items() if place in mine}
        if not await self.reached(heads, _CATCH_UP_S):
            self.skipped_ticks += 1
            self._behind_since = self._behind_since or loop.time()
            if loop.time() - self._behind_since < BEHIND_S:
                return
            self.late = True
        else:
            self._behind_since, self.late = None, False
        await self._pulse.refresh()
        lasts_ms = max(COMPLAINT_LASTS_MS, _COMPLAINT_LASTS_S * 1000 * self.clock.speed)
        said = [
            *[LATE] * self.late,
            *[_UNEVALUATED] * bool(self._unevaluated),
            *self._troubles(),
            *self._pulse.self_reports(moment, lasts_ms),
        ]
        troubles = list(dict.fromkeys(said))
        each = self._told_of_each()
        self.met = [] if each else list(self._shown_in_data())
        for partition, people in self._by_partition().items():
            await self._tick_partition(partition, people, moment, troubles if each else None)
        await self._tell_house(moment, [] if each else list(dict.fromkeys([*troubles, *self.met])))
        await self._keep()
        self.ticks += 1
        if not self.late:
            self.evaluated_ms = moment
            await self._heartbeat(moment)

    def _told_of_each(self) -> bool:
        """Whether what is wrong with iv3 is told about each person: there is only one, as far as this process, its
        configuration and the heartbeats know; or the house has no phone, and people only their own.
        """
        known = sum(person != SYSTEM for person in self.people)
        return self._roster.only_own_phones or max(known, len(self._roster.people), self._pulse.counted()[0]) <= 1

    def _shown_in_data(self) -> dict[str, None]:
        system = self._system_state()
        return {
            said: None
            for state in self.people.values()
            if not state.suspended_ms
            for said in system_troubles_of(state, system)
        }

    def _by_partition(self) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for person, partition in self._where.items():
            if person != SYSTEM:  # tokens are facts too, but nobody's
                found.setdefault(partition, []).append(person)
        return found

    async def _tick_partition(
        self, partition: int, people: list[str], moment: int, troubles: Sequence[str] | None
    ) -> None:
        """Everybody of a partition under one lock, for which the alerts are followed once: nobody else decides
        meanwhile.
        """
        async with self._locks[partition]:
            await self._follow(partition)
            for number, person in enumerate(people):
                if person in self._in_hand:
                    continue  # what waits for the log is decided first
                await self._tick_person(person, partition, moment, troubles)
                if number % _AT_A_STRETCH == 0:
                    await asyncio.sleep(0)  # thousands of people must not hold up whoever asks for a page

    async def _tick_person(self, person: str, partition: int, moment: int, troubles: Sequence[str] | None) -> None:
        """One person's tick. What nobody foresaw in it is told as a trouble of iv3's, and holds up nobody else."""
        state = self.people[person]
        try:
            await self._decide(state, partition, state.tick_position(moment), troubles)
        except StreamError:
            raise
        except Exception as error:
            if person not in self._unevaluated:
                logger.exception("what time calls for could not be evaluated for %s", person)
            self._unevaluated[person] = type(error).__name__
        else:
            self._unevaluated.pop(person, None)

    async def _keep(self) -> None:
        """Write snapshots of what was decided, where enough was."""
        for partition, lock in self._locks.items():
            async with lock:
                dump = partial(dump_episodes, self.episodes[partition])
                await self._decided.keep(partition, self._alerts_at[partition], dump)

    async def _tell_house(self, moment: int, troubles: Sequence[str]) -> None:
        """Whoever holds the house's own partition decides what everybody shares, from what all partitions and processes
        said.
        """
        partition = partition_of(SYSTEM, self.log.partitions[ALERTS])
        if partition not in self._locks:
            return
        state = self._state_of(SYSTEM, partition)
        async with self._locks[partition]:
            everything = (*troubles, *shared_troubles(*self._pulse.counted()))
            await self._follow(partition)
            await self._decide(state, partition, state.tick_position(moment), everything)

    async def _heartbeat(self, moment: int) -> None:
        if moment - self._heartbeat_ms < max(_HEARTBEAT_MS, _SHORTEST_BEAT_S * 1000 * self.clock.speed):
            return
        self._heartbeat_ms = moment
        for partition in self._locks:
            people = (self.people[person] for person, where in self._where.items() if where == partition)
            watched, silent = watched_and_silent(people, self.episodes[partition], moment)
            beat = PartitionEvaluated(partition=partition, through=at_ms(moment), watched=watched, silent=silent)
            event = self.author.say(beat, derived_id("heartbeat", partition, moment), str(partition), moment)
            await append_events(self.log, HEARTBEATS, [event], partition=partition)
