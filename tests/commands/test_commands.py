"""The one door for writes, on a real log with a catalog that follows it: whoever calls it, nothing is half-written."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from schemas.envelope import Author, Event, decode
from schemas.facts import AlertsSnoozed, CarbsEaten, InsulinTaken, PersonSuspended, ProfileChanged
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.commands.alerts import acknowledge, lift_snooze, snooze
from streams.commands.door import Door, KeyLocks
from streams.commands.entries import correct_entry, delete_entry, find_entry, log_entry, log_without_key, undo_entry
from streams.commands.people import add_person, resume_person, suspend_person
from streams.commands.refusals import BadValue, Conflict, NeedsConfirmation, NotFound, NotReadYet
from streams.commands.tokens import hash_of, issue_token, revoke_token
from streams.errors import LogOutcomeUnknown
from streams.topics import JOURNAL, partition_of
from streams.views.catalog import Catalog
from tests.support.clock import SetClock
from tests.support.night import INSULINS, MIN, T0

DOSE = InsulinTaken(units=4, insulin="Humalog", action="rapid")


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    """Mum's way to write about me."""
    log = SqliteLog(tmp_path / "log.db")
    catalog = Catalog(log, tmp_path / "catalog-1.db")
    stopping = asyncio.Event()
    following = asyncio.ensure_future(catalog.follow(stopping))
    opened = Door(log, catalog, SetClock(T0), Author("api", "Mum"), "me", owner="her phone")
    await add_person(opened, "Maya", ProfileChanged(name="Maya", insulins=INSULINS))
    yield opened
    stopping.set()
    await following
    await log.close()


async def written(door: Door) -> list[Event]:
    """What is in the journal of the door's person, without what the fixture wrote."""
    partition = partition_of(door.person, door.log.partitions[JOURNAL])
    return [decode(record.value) for record in await door.log.read(JOURNAL, partition, 0)][2:]


async def test_an_entry_is_logged_once_however_often_its_key_is_sent(door: Door) -> None:
    first = await log_entry(door, "k", "as told", CarbsEaten(grams=20))
    again = await log_entry(door, "k", "as told", CarbsEaten(grams=20))
    assert (again.entry_id, again.position, again.repeated) == (first.entry_id, first.position, True)
    with pytest.raises(Conflict, match="another entry"):
        await log_entry(door, "k", "told otherwise", CarbsEaten(grams=30))
    assert [(event.data, event.actor) for event in await written(door)] == [(CarbsEaten(grams=20), "Mum")]


async def test_two_who_send_one_key_at_once_write_one_entry(door: Door) -> None:
    both = await asyncio.gather(*(log_entry(door, "k", "as told", CarbsEaten(grams=20)) for _ in range(5)))
    assert len({one.entry_id for one in both}) == len(await written(door)) == 1


async def test_a_doubtful_dose_is_asked_about_before_anything_is_written_and_logged_once_confirmed(door: Door) -> None:
    large = DOSE.model_copy(update={"units": 40.0})
    with pytest.raises(NeedsConfirmation) as asked:
        await log_entry(door, "k", "as told", large)
    assert asked.value.facts is not None
    assert asked.value.facts["reason"] == "large_rapid"
    assert await written(door) == []
    await log_entry(door, "k", "as told", large, confirmed=True)
    assert [event.data for event in await written(door)] == [large]


@pytest.mark.parametrize("time_ms", [0, T0 + 11 * MIN])
async def test_a_moment_that_nobody_can_mean_is_named_and_nothing_is_written(door: Door, time_ms: int) -> None:
    with pytest.raises(BadValue) as refused:
        await log_entry(door, "k", "as told", CarbsEaten(grams=20), time_ms=time_ms)
    assert refused.value.field == "time"
    assert await written(door) == []


async def test_of_two_who_change_an_entry_from_one_revision_the_second_is_told(door: Door) -> None:
    made = await log_entry(door, "k", "as told", CarbsEaten(grams=20))
    entry = await find_entry(door, made.entry_id)
    await correct_entry(door, entry, 1, {"grams": 25.0, "speed": "medium"}, time_ms=None, asks=False)
    with pytest.raises(Conflict) as second:
        await correct_entry(
            door, await find_entry(door, made.entry_id), 1, {"grams": 30.0, "speed": "medium"}, time_ms=None, asks=False
        )
    assert second.value.code == "conflict"
    assert (await find_entry(door, made.entry_id)).data == CarbsEaten(grams=25)
    await delete_entry(door, await find_entry(door, made.entry_id), 2)
    await undo_entry(door, await find_entry(door, made.entry_id), 3)
    assert not (await find_entry(door, made.entry_id)).deleted


async def test_what_is_anothers_is_not_found(door: Door) -> None:
    made = await log_entry(door, "k", "as told", CarbsEaten(grams=20))
    other = Door(door.log, door.catalog, door.clock, door.author, "lena")
    with pytest.raises(NotFound):
        await find_entry(other, made.entry_id)
    with pytest.raises(NotFound):
        await acknowledge(door, "no such episode", treated=False)


async def test_a_snooze_that_is_too_long_is_refused_and_one_that_is_lifted_is_over(door: Door) -> None:
    with pytest.raises(BadValue, match="at most 30"):
        await snooze(door, "urgent_low", 31)
    assert await written(door) == []
    quiet = await snooze(door, "urgent_low", 30)
    assert quiet.until_ms == T0 + 30 * MIN
    assert door.catalog.snoozes("me", T0) == {"urgent_low": T0 + 30 * MIN}
    await lift_snooze(door, "urgent_low")
    assert door.catalog.snoozes("me", T0) == {}
    assert all(isinstance(event.data, AlertsSnoozed) for event in await written(door))


async def test_people_come_once_and_go_and_come_back(door: Door) -> None:
    with pytest.raises(Conflict):
        await add_person(door, "Maya", ProfileChanged(name="Maya"))
    await suspend_person(door)
    assert door.catalog.people() == {"me": False}
    assert isinstance((await written(door))[-1].data, PersonSuspended)
    await resume_person(door)
    assert door.catalog.people() == {"me": True}
    stranger = Door(door.log, door.catalog, door.clock, door.author, "lena")
    with pytest.raises(NotFound):
        await suspend_person(stranger)


async def test_a_token_opens_until_it_is_revoked_and_only_its_hash_is_kept(door: Door) -> None:
    made = await issue_token(door, "writer", "Mum's phone", people=(), expires_ms=None)
    (record,) = door.catalog.tokens()
    assert (record.token.token_id, record.token.sha256, record.revoked) == (made.token_id, hash_of(made.secret), False)
    await revoke_token(door, made.token_id)
    assert [record.revoked for record in door.catalog.tokens()] == [True]
    for partition in range(door.log.partitions[JOURNAL]):
        for kept in await door.log.read(JOURNAL, partition, 0):
            assert made.secret.encode() not in kept.value


async def test_three_who_send_one_key_are_let_in_one_after_the_other() -> None:
    """The second lets the third in, not a fourth who comes at that moment."""
    locks, inside, most = KeyLocks(), 0, 0

    async def one(waits: int) -> None:
        nonlocal inside, most
        for _ in range(waits):
            await asyncio.sleep(0)
        async with locks.hold("k"):
            inside += 1
            most = max(most, inside)
            for _ in range(3):
                await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(one(waits) for waits in range(24)))
    assert most == 1


@pytest.fixture
def unread(door: Door, monkeypatch: pytest.MonkeyPatch) -> Door:
    """The catalog lags behind the log."""

    async def not_in_time() -> bool:
        return False

    monkeypatch.setattr(door.catalog, "caught_up", not_in_time)
    return door


async def test_while_the_catalog_lags_a_dose_without_a_key_is_refused_for_it_may_be_the_second(unread: Door) -> None:
    with pytest.raises(NotReadYet, match="nothing was written"):
        await log_without_key(unread, DOSE, "rapid", T0 // 1000, 4, "Humalog")
    assert await written(unread) == []


async def test_while_the_catalog_lags_no_change_is_answered_as_done(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await log_entry(door, "k", "as told", CarbsEaten(grams=20))
    entry = await find_entry(door, made.entry_id)
    seen = [True, False]

    async def once() -> bool:
        return seen.pop(0)

    monkeypatch.setattr(door.catalog, "caught_up", once)
    with pytest.raises(LogOutcomeUnknown, match="not seen in time"):
        await correct_entry(door, entry, 1, {"grams": 30}, time_ms=None, asks=False)


async def test_a_token_is_not_said_to_be_ended_before_this_process_knows(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = await issue_token(door, "reader", "tablet")

    async def not_in_time() -> bool:
        return False

    monkeypatch.setattr(door.catalog, "caught_up", not_in_time)
    with pytest.raises(NotReadYet, match="a moment more"):
        await revoke_token(door, issued.token_id)
