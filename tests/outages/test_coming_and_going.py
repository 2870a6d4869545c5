"""People come and go while iv3 runs: their accounts, their phones, and what is still on its way to them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from processors.alerting.outbox import Outbox
from schemas.alerts import Delivered, DeliveryAttempted, PersonTold, TargetAdded
from schemas.envelope import SYSTEM, Event, decode, make
from schemas.facts import GlucoseRead, PersonAdded, PersonSuspended
from schemas.model import at_ms
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.adapters.notifiers.ntfy import Ntfy
from streams.adapters.simulation.town import PASSWORD, ShareTown
from streams.adapters.sources.dexcom import DexcomShare
from streams.clock import ScaledClock
from streams.delivery.channels import Channels
from streams.ports.log import append_events
from streams.roles.alerter import Alerter
from streams.roles.forecaster import Forecaster
from streams.roles.notifier import AlarmNotifier
from streams.roles.poller import Poller
from streams.roster import Roster, Watched
from streams.topics import ALERTS, JOURNAL, partition_of
from tests.standins.ntfy import Access, NtfyStandIn
from tests.support.clock import SetClock
from tests.support.notified import T0, TOKEN, World, said
from tests.support.running import app_maker, caught_up, running, until

MIN = 60_000


# -- accounts --------------------------------------------------------------------------------------


@dataclass
class Street:
    """A journal, a fast clock, and a town's accounts."""

    folder: Path
    log: SqliteLog
    clock: ScaledClock
    town: ShareTown
    url: str

    def source(self, account: str) -> DexcomShare:
        return DexcomShare(
            username=account,
            password=SecretStr(PASSWORD),
            region="ous",
            session_file=self.folder / f"{account}.json",
            base_url=self.url,
            timeout_s=2.0,
            now_ms=self.clock.now_ms,
        )

    async def readings(self, person: str) -> Counter[int]:
        records = await self.log.read(JOURNAL, partition_of(person), 0, None, 100_000)
        events = [decode(r.value) for r in records]
        return Counter(e.time_ms for e in events if e.subject == person and isinstance(e.data, GlucoseRead))

    async def say(self, person: str, *facts: Any) -> None:
        now = at_ms(self.clock.now_ms())
        await append_events(
            self.log,
            JOURNAL,
            [
                make(f, id=f"{person}{now}{n}", source="test", subject=person, time=now, recordedtime=now)
                for n, f in enumerate(facts)
            ],
        )


@pytest.fixture
async def street(log: SqliteLog, tmp_path: Path) -> AsyncIterator[Street]:
    clock = ScaledClock(T0, 2000)
    town = ShareTown(3, now_ms=clock.now_ms)
    yield Street(tmp_path, log, clock, town, await town.start())
    await town.stop()


async def test_a_person_who_is_added_is_asked_for_at_once_and_the_others_as_before(street: Street) -> None:
    first, second = street.source("p0001"), street.source("p0002")
    roster = Roster({"p0001": Watched(first)})
    poller = Poller(street.log, street.clock, app_maker(street.log), roster)
    async with running(poller):
        await until(lambda: street.town.asked != [])
        roster.replace({"p0001": Watched(first), "p0002": Watched(second)})
        await until(lambda: {account for account, _, _ in street.town.asked} == {"p0001", "p0002"})
        await asyncio.sleep(0.5)
        assert poller.progress.assignments == 1, "nothing was restarted for it"
    for person in ("p0001", "p0002"):
        seen = await street.readings(person)
        assert len(seen) >= 280
        assert max(seen.values()) == 1
    for source in (first, second):
        await source.close()


async def test_whoever_is_suspended_is_asked_for_no_more_and_misses_nothing_once_they_are_back(street: Street) -> None:
    source = street.source("p0001")
    poller = Poller(street.log, street.clock, app_maker(street.log), Roster({"p0001": Watched(source)}))
    async with running(poller):
        await until(lambda: street.town.asked != [])
        await street.say("p0001", PersonSuspended())
        await until(lambda: not poller.watching)
        await asyncio.sleep(0.05)
        asked = len(street.town.asked)
        await asyncio.sleep(0.5)  # more than a quarter of an hour
        assert len(street.town.asked) == asked
    again = Poller(street.log, street.clock, app_maker(street.log), Roster({"p0001": Watched(source)}))
    async with running(again):
        await asyncio.sleep(0.2)
        assert len(street.town.asked) == asked, "a restart does not forget it"
        await street.say("p0001", PersonAdded())
        await until(lambda: len(street.town.asked) > asked + 2)
        assert set(again.watching) == {"p0001"}
    seen = await street.readings("p0001")
    home = street.town.home("p0001")
    assert home is not None
    lived = {time_ms for time_ms, _, _ in home.readings(min(seen) - 1, max(seen))}
    assert set(seen) == lived
    assert max(seen.values()) == 1
    await source.close()


async def test_an_account_that_leaves_the_roster_is_let_go_and_comes_back_without_doubles(street: Street) -> None:
    source = street.source("p0003")
    roster = Roster({"p0003": Watched(source)})
    async with running(poller := Poller(street.log, street.clock, app_maker(street.log), roster)):
        for _ in range(5):
            await until(lambda: set(poller.watching) == {"p0003"})
            await asyncio.sleep(0.06)
            roster.replace({})
            await until(lambda: not poller.watching)
            roster.replace({"p0003": Watched(source)})
        await asyncio.sleep(0.2)
    assert max((await street.readings("p0003")).values()) == 1
    await source.close()


async def test_an_account_that_leaves_again_while_its_readings_are_still_being_written_has_none_twice(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = street.source("p0003")
    roster = Roster({"p0003": Watched(source)})
    writable, took = asyncio.Event(), street.log.append

    async def slow(*arguments: Any, **more: Any) -> Any:
        await writable.wait()
        return await took(*arguments, **more)

    monkeypatch.setattr(street.log, "append", slow)
    async with running(poller := Poller(street.log, street.clock, app_maker(street.log), roster)):
        for times in range(1, 4):
            await until(lambda: len(street.town.asked) >= times)  # noqa: B023 - it is asked for at once
            await asyncio.sleep(0.2)  # it has the answer, and writes, or waits for what is being written
            roster.replace({})
            await until(lambda: not poller.watching)
            roster.replace({"p0003": Watched(source)})
        writable.set()
        await until(lambda: poller.account("p0003", source.name).newest_ms is not None)
        await asyncio.sleep(0.2)
    assert max((await street.readings("p0003")).values()) == 1
    await source.close()


async def test_a_poller_that_starts_again_reads_the_journal_from_its_last_snapshot_and_doubles_nothing(
    street: Street,
) -> None:
    source = street.source("p0001")
    roster = Roster({"p0001": Watched(source)})
    async with running(first := Poller(street.log, street.clock, app_maker(street.log), roster)):
        await until(lambda: len(first.account("p0001", source.name).known) > 280 and first.lag() == 0)
        await street.say("p0001", PersonSuspended())
        await until(lambda: not first.watching)
    again = Poller(street.log, street.clock, app_maker(street.log), roster)
    folded: list[int] = []
    remember = again._remember
    again._remember = lambda record: (folded.append(record.offset), remember(record))[1]  # type: ignore[method-assign,func-returns-value]  # the test listens in
    async with running(again):
        assert min(folded) > 100
        assert not again.watching, "a suspension is in it"
        before, after = (poller.account("p0001", source.name) for poller in (first, again))
        assert (after.known, after.newest_ms, after.state) == (before.known, before.newest_ms, before.state)
        await street.say("p0001", PersonAdded())
        await until(lambda: bool(again.watching))
        await asyncio.sleep(0.3)
    assert max((await street.readings("p0001")).values()) == 1
    await source.close()


# -- alarms ----------------------------------------------------------------------------------------


async def test_a_suspension_ends_open_alarms_quietly_and_opens_none_until_the_person_is_back(log: SqliteLog) -> None:
    clock = SetClock(T0)
    roles = [Forecaster(log, clock, app_maker(log)), Alerter(log, clock, app_maker(log))]
    numbers = iter(range(1000))

    async def put(data: Any) -> None:
        clock.advance(300)
        now = at_ms(clock.now_ms())
        event = make(data, id=f"e{next(numbers)}", source="test", subject="lena", time=now, recordedtime=now)
        await append_events(log, JOURNAL, [event])
        await caught_up(roles)

    async def changes() -> list[tuple[str, str, bool]]:
        records = await log.read(ALERTS, partition_of("lena"), 0, None, 10_000)
        return [(e.kind, e.change, e.quiet) for r in records for e in decode(r.value).data.events]  # type: ignore[attr-defined]  # this topic holds one type of event

    async with running(*roles):
        await put(GlucoseRead(glucose_mgdl=50))
        assert await changes() == [("urgent_low", "opened", False)]
        await put(PersonSuspended())
        assert (await changes())[1:] == [("urgent_low", "expired", True)]
        await put(GlucoseRead(glucose_mgdl=45))
        clock.advance(3600)
        await roles[1].tick()  # type: ignore[attr-defined]  # this topic holds one type of event
        assert len(await changes()) == 2, "nobody is alarmed for who is not watched"
        await put(PersonAdded())
        await put(GlucoseRead(glucose_mgdl=44))
        assert (await changes())[2:] == [("urgent_low", "opened", False)]


async def test_many_who_fall_silent_at_once_are_one_message_to_the_house_and_one_each_to_themselves(
    log: SqliteLog,
) -> None:
    clock = SetClock(T0)
    roles = [Forecaster(log, clock, app_maker(log)), Alerter(log, clock, app_maker(log))]
    people = [f"p{n}" for n in range(12)]

    async def read(names: list[str], label: str) -> None:
        now = at_ms(clock.now_ms())
        for name in names:
            fact = GlucoseRead(glucose_mgdl=120)
            event = make(fact, id=f"{name}{label}", source="test", subject=name, time=now, recordedtime=now)
            await append_events(log, JOURNAL, [event])
        await caught_up(roles)

    async def ticks(minutes: int) -> None:
        for _ in range(minutes):
            clock.advance(60)
            await roles[1].tick()  # type: ignore[attr-defined]  # this topic holds one type of event

    async def told() -> dict[str, list[tuple[str, str]]]:
        found: dict[str, list[tuple[str, str]]] = {}
        for partition in range(12):
            for record in await log.read(ALERTS, partition, 0, None, 10_000):
                event = decode(record.value)
                for change in event.data.events:  # type: ignore[attr-defined]  # this topic holds one type of event
                    found.setdefault(event.subject, []).append((change.kind, change.change))
        return found

    async with running(*roles):
        await read(people, "a")
        await ticks(12)  # as long as uploaders have after a start
        await read(people[:9], "b")
        await ticks(10)
        assert SYSTEM not in await told(), "three who fall silent are three people's own affair"
        await ticks(10)
        said = await told()
        assert said.pop(SYSTEM) == [("system", "opened")]
        assert {name: changes[0] for name, changes in said.items()} == dict.fromkeys(people, ("stale", "opened"))
        await read(people, "c")
        await ticks(3)
        assert (await told())[SYSTEM] == [("system", "opened"), ("system", "resolved")]


# -- phones ----------------------------------------------------------------------------------------


@pytest.fixture
async def world(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr("streams.delivery.scheduler.FIRST_RETRY_S", 0.02)
    monkeypatch.setattr("streams.delivery.scheduler.LONGEST_RETRY_S", 0.1)
    monkeypatch.setattr("streams.delivery.scheduler.REFUSED_RETRY_S", 0.3)
    monkeypatch.setattr("streams.delivery.fallback._LOOK_S", 0.05)
    async with NtfyStandIn(tokens={TOKEN: Access("iv3-*")}) as server:
        yield World(log, server)


class Phones:
    """A house's phone and people's own, at one ntfy."""

    def __init__(self, world: World, *people: str) -> None:
        self._world = world
        self.own = {person: self.phone(f"iv3-{person}") for person in people}
        self.house = self.phone("iv3-house")
        self.roster = Roster({p: Watched(target=phone) for p, phone in self.own.items()}, [self.house])
        self.notifier = AlarmNotifier(
            world.log, world.clock, app_maker(world.log), Channels([self.house]), roster=self.roster
        )

    def phone(self, topic: str, token: str = TOKEN) -> Ntfy:
        return Ntfy(
            server=self._world.server.url, topic=topic, clock=self._world.clock, token=SecretStr(token), timeout_s=1.0
        )

    async def armed(self) -> None:
        def all_are() -> bool:
            boxes = self.notifier.outboxes.items()
            own = {p: self.roster.own(p) for p in self.roster.people if self.roster.own(p)}
            told = {person: targets for _, box in boxes for person, targets in box.told.items()}
            return told == own and all(set(self.roster.house) <= box.armed for _, box in boxes)

        await until(all_are)

    def rang(self) -> list[tuple[str, str]]:
        """(topic, sequence id) in order."""
        return [
            (r.message["topic"], r.message["sequence_id"])
            for r in self._world.server.received
            if r.message["event"] == "message"
        ]

    async def close(self) -> None:
        for phone in (*self.own.values(), self.house):
            await phone.close()


def of(person: str, event: Event) -> Event:
    return event.model_copy(update={"subject": person})


async def test_everybodys_alarm_goes_to_their_own_phone_or_to_the_houses_and_to_no_other(world: World) -> None:
    phones = Phones(world, "lena", "max")
    async with running(phones.notifier):
        await phones.armed()
        await world.decide(
            of("lena", said("low", episode="l")),
            of("max", said("low", episode="m")),
            of("ida", said("low", episode="i")),
        )
        await until(lambda: len(phones.rang()) == 3)
        await asyncio.sleep(0.2)
    assert sorted(phones.rang()) == [("iv3-house", "i-1"), ("iv3-lena", "l-1"), ("iv3-max", "m-1")]
    await phones.close()


async def test_what_a_persons_own_phone_does_not_take_goes_to_the_houses_when_it_is_urgent(world: World) -> None:
    phones = Phones(world, "lena", "max")
    phones.own["lena"] = phones.phone("iv3-lena", token="tk_" + "z" * 29)
    phones.roster.replace({person: Watched(target=phone) for person, phone in phones.own.items()})
    async with running(phones.notifier):
        await phones.armed()
        await world.decide(
            of("lena", said("urgent_low", episode="l")), of("lena", said("high", episode="h", priority=3))
        )
        await world.decide(of("max", said("low", episode="m")))
        await until(lambda: ("iv3-house", "l-1") in phones.rang())
        await asyncio.sleep(0.3)
        assert sorted(phones.rang()) == [("iv3-house", "l-1"), ("iv3-max", "m-1")]
        assert phones.notifier.trouble("lena")
        assert not phones.notifier.trouble("max")
        assert not phones.notifier.trouble(), "one person's trouble is not the whole house's"
    await phones.close()


async def test_what_was_on_its_way_to_a_phone_that_is_replaced_goes_to_the_new_one(world: World) -> None:
    phones = Phones(world, "lena")
    phones.own["lena"] = phones.phone("iv3-lena", token="tk_" + "z" * 29)
    phones.roster.replace({"lena": Watched(target=phones.own["lena"])})
    async with running(phones.notifier):
        await phones.armed()
        await world.decide(of("lena", said("high", episode="h", priority=3)))
        await until(lambda: bool(phones.notifier.trouble("lena")))
        new = phones.phone("iv3-lena-new")
        phones.roster.replace({"lena": Watched(target=new)})
        await until(lambda: phones.rang() == [("iv3-lena-new", "h-1")])
        await until(lambda: not phones.notifier.waiting())
    await phones.close()
    await new.close()


def test_what_arrived_while_it_was_handed_on_is_not_said_again_by_a_later_fold() -> None:
    """The note of a delivery may come after the note that somebody else is told now."""
    at = at_ms(T0)
    names = {"episode": "l", "step": 1, "target": "house", "sequence_id": "l-1"}
    facts: list[tuple[str, Any]] = [
        ("house", TargetAdded(target="house")),
        ("lena", said("low", episode="l").data),
        ("lena", DeliveryAttempted(**names)),
        ("lena", PersonTold(targets=("own",))),
        ("lena", Delivered(**names)),
    ]
    box = Outbox(("house",))
    for n, (subject, fact) in enumerate(facts):
        assert [step.target for step in box.due] == ([] if n < 2 else ["house"] if n < 4 else ["own"])
        box.evolve(make(fact, id=f"f{n}", source="test", subject=subject, time=at, recordedtime=at))
    assert not box.due


async def test_a_phone_that_comes_while_iv3_runs_is_told_from_then_on_and_one_that_goes_of_nothing_more(
    world: World,
) -> None:
    phones = Phones(world)
    lena = phones.phone("iv3-lena")
    async with running(phones.notifier):
        await phones.armed()
        await world.decide(of("lena", said("low", episode="before")))
        await until(lambda: phones.rang() == [("iv3-house", "before-1")])
        await until(lambda: not phones.notifier.waiting())  # and that it rang is noted
        phones.roster.replace({"lena": Watched(target=lena)})
        await phones.armed()
        await world.decide(of("lena", said("high", episode="with")))
        await until(lambda: ("iv3-lena", "with-1") in phones.rang())
        await until(lambda: not phones.notifier.waiting())  # and that it rang is noted
        phones.roster.replace({})
        await phones.armed()
        await world.decide(of("lena", said("stale", episode="after")))
        await until(lambda: ("iv3-house", "after-1") in phones.rang())
        await until(lambda: not phones.notifier.waiting())  # and that it rang is noted
        phones.roster.replace({"lena": Watched(target=lena)})
        await phones.armed()
        await asyncio.sleep(0.3)
        assert phones.notifier.progress.assignments == 1
    assert [topic for topic, _ in phones.rang()] == ["iv3-house", "iv3-lena", "iv3-house"], phones.rang()
    again = Phones(world, "lena")
    async with running(again.notifier):
        await again.armed()
        await asyncio.sleep(0.3)
    assert len(phones.rang()) == 3, "a restart tells nobody again"
    bare = Phones(world)
    async with running(bare.notifier):
        await bare.armed()
        await asyncio.sleep(0.3)
    assert len(phones.rang()) == 3, "nor does one that has lost what it knew of her phone"
    for each in (phones, again, bare):
        await each.close()
    await lena.close()


async def test_one_accounts_trouble_that_nobody_foresaw_ends_nobody_elses_asking(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = street.source("p0001"), street.source("p0002")

    async def wrong(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(first, "latest", wrong)
    roster = Roster({"p0001": Watched(first), "p0002": Watched(second)})
    async with running(poller := Poller(street.log, street.clock, app_maker(street.log), roster)):
        await until(lambda: poller.account("p0002", second.name).newest_ms is not None)
        await until(lambda: poller.account("p0001", first.name).misses > 2)
        assert poller.progress.assignments == 1, "nothing was restarted for it"
    for source in (first, second):
        await source.close()
