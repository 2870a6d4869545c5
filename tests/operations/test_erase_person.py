"""A log without one person: what is gone, what is as it was, and that nothing that folds it minds the gaps."""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from processors.copies.erasing import Ownership, Traces, is_placeholder, placeholder
from schemas.bookkeeping import RecordErased
from schemas.envelope import SYSTEM, Author, decode, encode
from schemas.facts import NoteWritten, TokenIssued
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.adapters.logs.sqlite.replacement import replace_log, take_sign_down
from streams.adapters.series.sqlite.series import SqliteSeries
from streams.adapters.series.sqlite.store import SqliteStore
from streams.commands.tokens import issue
from streams.copies.erase_person import Erasing, fill
from streams.delivery.channels import Channels
from streams.errors import CopyFailed, InUse
from streams.ports.log import append_events
from streams.roles.alerter import Alerter
from streams.roles.forecaster import Forecaster
from streams.roles.notifier import AlarmNotifier
from streams.roles.poller import Poller
from streams.roles.projector import Projector
from streams.roster import Roster
from streams.topics import ALERTS, ARCHIVED, DEAD_LETTERS, FORECASTS, JOURNAL, partition_of
from streams.views.catalog import Catalog
from streams.views.replay import replay
from tests.support.clock import SetClock
from tests.support.erasing import DEVICE, GONE, MIN, STAYS, T0, WORDS, P, everything, late, lived, said
from tests.support.running import app_maker, caught_up, running

NOW = T0 + 400 * 86_400_000


@pytest.fixture
async def pair(tmp_path: Path, log: SqliteLog) -> AsyncIterator[tuple[SqliteLog, SqliteLog]]:
    """The log of two people, and the same without her."""
    await lived(log)
    fresh = SqliteLog(tmp_path / "fresh" / "log.db")
    erasing = Erasing(log, GONE)
    await erasing.open()
    await erasing.write(fresh, fresh.log_id, NOW)
    yield log, fresh
    await fresh.close()


async def test_hers_became_placeholders_at_their_offsets_and_the_rest_is_byte_for_byte_as_it_was(
    pair: tuple[SqliteLog, SqliteLog],
) -> None:
    old, fresh = await everything(pair[0]), await everything(pair[1])
    assert {place: len(records) for place, records in old.items()} == {p: len(r) for p, r in fresh.items()}
    replaced: Counter[str] = Counter()
    ids = set()
    for place, records in fresh.items():
        for before, after in zip(old[place], records, strict=True):
            assert after.offset == before.offset
            if before == after:
                assert before.key != GONE.encode()
                continue
            replaced[place[0]] += 1
            event = decode(after.value)
            assert isinstance(event.data, RecordErased)
            assert (after.key, event.subject, after.timestamp_ms, event.time_ms) == (SYSTEM.encode(), SYSTEM, NOW, NOW)
            ids.add(event.id)
            assert set(event.data.model_dump()) == set(), "nothing of what it was"
    assert all(replaced[topic] for topic in ARCHIVED), replaced
    assert len(ids) == sum(replaced.values()), "each has an id of its own"
    held = b"".join(r.value or b"" for records in fresh.values() for r in records)
    for word in set(WORDS) - {GONE}:
        assert word.encode() not in held, word
    assert b"iv3.token-revoked" not in held, "the end of her token went with it"
    assert held.count(GONE.encode()) == 1, "only the note of his that speaks of her"


async def test_what_is_counted_before_is_what_is_replaced_after(tmp_path: Path, log: SqliteLog) -> None:
    await lived(log, 3)
    erasing = Erasing(log, GONE)
    await erasing.open()
    found = await erasing.find_traces()
    assert found.called == "Wanda Quendel"
    assert list(found.tokens.values()) == [DEVICE]
    assert found.mentions == 1
    assert (found.theirs[DEAD_LETTERS], found.records[DEAD_LETTERS]) == (3, 6), "of forecaster, alerter and a test each"
    fresh = SqliteLog(tmp_path / "fresh" / "log.db")
    assert await erasing.write(fresh, fresh.log_id, NOW) == found
    nobody = Erasing(fresh, GONE)
    await nobody.open()
    assert not (await nobody.find_traces()).any
    await fresh.close()


async def test_a_token_of_several_people_ends_with_one_of_them() -> None:
    _, event = _issued("owner")
    both = encode(event.model_copy(update={"data": event.data.model_copy(update={"people": (STAYS, GONE)})}))
    traces = Traces(GONE)
    traces.note_token(both)
    assert traces.tokens == {event.data.token_id: "two"}
    assert traces.ownership(SYSTEM.encode(), both) is Ownership.THEIRS


@pytest.mark.parametrize("person", ["owner", "two", "iv3/tokens", "command line", "token-issued"])
async def test_a_person_whose_id_is_a_word_of_ours_takes_no_token_of_others_along(person: str) -> None:
    _, event = _issued("owner")
    traces = Traces(person)
    traces.note_token(encode(event))
    assert not traces.tokens
    assert traces.ownership(SYSTEM.encode(), encode(event)) is Ownership.NOBODYS


def _issued(role: Any, person: str | None = None) -> tuple[str, Any]:
    token, event = issue(role, "two", T0, author=Author("api", "command line"))
    assert isinstance(event.data, TokenIssued)
    return token, event.model_copy(update={"data": event.data.model_copy(update={"person": person})})


async def test_every_role_folds_it_and_nobody_is_told_anything_twice(
    pair: tuple[SqliteLog, SqliteLog], tmp_path: Path
) -> None:
    old, fresh = pair
    before = {topic: len(await fresh.read(topic, P, 0, None, 10_000)) for topic in (FORECASTS, ALERTS)}
    his = [r for r in await old.read(FORECASTS, P, 0, None, 10_000) if r.key == STAYS.encode()]
    series = SqliteSeries(tmp_path / "s.db", fresh.log_id)
    clock, apps = SetClock(T0 + 39 * 5 * MIN + 20_000), app_maker(fresh)
    roles: list[Any] = [
        Forecaster(fresh, clock, apps),
        Alerter(fresh, clock, apps),
        AlarmNotifier(fresh, clock, apps, Channels()),
        Projector(fresh, clock, apps, lambda: series),
        Poller(fresh, clock, apps, Roster()),
    ]
    async with running(*roles):
        await caught_up(roles)
        for role in roles:
            assert not role.progress.paused
            assert not role.progress.restarts
        # His one record that nobody can read was given up by two roles before; hers is none any more.
        given_up = {role.name: role.progress.dead_letters for role in roles if role.progress.dead_letters}
        assert given_up == {"projector": 1}
        after = {topic: len(await fresh.read(topic, P, 0, None, 10_000)) for topic in (FORECASTS, ALERTS)}
        assert after == before, "nothing said twice"
        await late(fresh, STAYS, 40)
        await caught_up(roles)
    newest = (await fresh.read(FORECASTS, P, before[FORECASTS], None, 10))[0]
    assert newest.key == STAYS.encode()
    assert len([r for r in await fresh.read(FORECASTS, P, 0, None, 10_000) if r.key == STAYS.encode()]) == len(his) + 1
    assert {row.person for row in await series.digest()} == {STAYS}
    await series.close()


async def test_what_the_house_decides_stands_where_it_stood(log: SqliteLog, tmp_path: Path) -> None:
    """Its place is the newest of its own partition, placeholders too, but not those of people who lay in others."""
    elsewhere = "wanda-5"
    assert partition_of(elsewhere) != P
    await append_events(log, JOURNAL, [_issued("owner")[1]])
    await append_events(log, JOURNAL, [_issued("reader", person=elsewhere)[1]])
    for n in range(50):
        await late(log, elsewhere, n)
    fresh = SqliteLog(tmp_path / "fresh" / "log.db")
    erasing = Erasing(log, elsewhere)
    await erasing.open()
    await erasing.write(fresh, fresh.log_id, NOW)
    assert is_placeholder((await fresh.read(JOURNAL, P, 1))[0].value)
    for one in (log, fresh):
        for _ in range(2):  # consumed, and then folded
            alerter = Alerter(one, SetClock(T0), app_maker(one))
            async with running(alerter):
                await caught_up([alerter])
                assert alerter.people[SYSTEM].offset == one.heads[JOURNAL, P] == 2
    await fresh.close()


async def test_the_forecaster_finds_how_far_it_has_spoken_behind_thousands_of_placeholders(
    log: SqliteLog, tmp_path: Path
) -> None:
    """His one forecast, then a thousand of hers: erased, they must not make it say his once more."""
    await late(log, STAYS, 0)
    forecaster = Forecaster(log, SetClock(T0), app_maker(log))
    async with running(forecaster):
        await caught_up([forecaster])
    gap = [placeholder("x", FORECASTS, P, 1 + n, NOW) for n in range(2_000)]
    await log.append(FORECASTS, SYSTEM, gap, partition=P)
    from tests.support.offsets import forget_offsets

    await forget_offsets(log, "forecaster")
    again = Forecaster(log, SetClock(T0), app_maker(log))
    async with running(again):
        await caught_up([again])
    assert log.heads[FORECASTS, P] == 2_001


async def test_charts_digests_and_the_catalog_of_the_other_are_as_they_were(
    pair: tuple[SqliteLog, SqliteLog], tmp_path: Path
) -> None:
    digests = []
    for number, one in enumerate(pair):
        folder = tmp_path / f"derived-{number}"
        folder.mkdir()
        store = SqliteStore(folder, one.log_id)
        report = await replay(one, folder, store)
        series = await store.open(await store.serving())
        digests.append({row for row in await series.digest() if row.person != GONE})
        await series.close()
        assert report.left_out == 2 - number, "of her unreadable record nothing is left"
        catalog = Catalog(one, folder / "catalog-2.db")
        await catalog.catch_up()
        assert catalog.profile(STAYS).name == "Bruno"
        assert (catalog.profile(GONE).name != "") == (number == 0)
        names = {record.token.name for record in catalog.tokens() if not record.revoked}
        assert names == {"Brunos Uhr", "the house"}
        catalog.close()
    assert digests[0] == digests[1] != set()


def test_two_logs_never_have_the_same_placeholder() -> None:
    one, other = placeholder("a", JOURNAL, 1, 2, NOW), placeholder("b", JOURNAL, 1, 2, NOW)
    assert decode(one).id != decode(other).id
    assert is_placeholder(one)
    assert not is_placeholder(encode(said(NoteWritten(text='"type":"iv3.erased.v1"'), STAYS, 1)))


async def test_a_copy_that_was_filled_in_part_goes_on_and_one_that_somebody_wrote_to_is_refused(
    pair: tuple[SqliteLog, SqliteLog], tmp_path: Path
) -> None:
    fresh = pair[1]
    half = SqliteLog(tmp_path / "half" / "log.db")
    steps = iter(range(100))

    class CutError(Exception):
        pass

    def cut(done: int, total: int) -> None:
        del done, total
        if next(steps) == 1:
            raise CutError

    with pytest.raises(CutError):
        await fill(fresh, half, cut)
    assert 0 < sum(half.heads.values()) < sum(fresh.heads.values())
    await fill(fresh, half)
    assert [r.value for r in (await everything(half))[JOURNAL, P]] == [
        r.value for r in (await everything(fresh))[JOURNAL, P]
    ]
    await late(half, STAYS, 50)
    await fill(fresh, half)  # what came after it was complete is the house's own
    await half.close()
    foreign = SqliteLog(tmp_path / "foreign" / "log.db")
    await late(foreign, STAYS, 50)
    with pytest.raises(CopyFailed, match="another iv3 wrote"):
        await fill(fresh, foreign)
    assert foreign.heads[JOURNAL, P] == 1, "and nothing was put behind it"
    await foreign.close()


async def test_files_are_exchanged_only_while_nobody_has_the_old_one_open(tmp_path: Path) -> None:
    old, new = SqliteLog(tmp_path / "log.db"), SqliteLog(tmp_path / "work" / "log.db")
    await append_events(old, JOURNAL, [said(NoteWritten(text="old"), STAYS, 1)])
    heads = {(JOURNAL, P): 1}
    await new.close()
    with pytest.raises(InUse, match="Another process has"):
        replace_log(tmp_path / "log.db", tmp_path / "work" / "log.db", heads, ARCHIVED)
    await append_events(old, JOURNAL, [said(NoteWritten(text="newer"), STAYS, 2)])
    await old.close()
    with pytest.raises(InUse, match="wrote to the log meanwhile"):
        replace_log(tmp_path / "log.db", tmp_path / "work" / "log.db", heads, ARCHIVED)
    again = SqliteLog(tmp_path / "log.db")
    assert again.heads[JOURNAL, P] == 2, "nothing was changed"
    await again.close()
    replace_log(tmp_path / "log.db", tmp_path / "work" / "log.db", {(JOURNAL, P): 2}, ARCHIVED)
    exchanged = SqliteLog(tmp_path / "log.db")
    assert (exchanged.log_id, exchanged.heads[JOURNAL, P]) == (new.log_id, 0)
    await exchanged.close()


async def test_a_log_that_is_being_exchanged_is_not_opened(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db")
    await log.close()
    (tmp_path / "log.db.exchanging").touch()
    with pytest.raises(InUse, match="run the same `iv3 person erase` again"):
        SqliteLog(tmp_path / "log.db")
    take_sign_down(tmp_path / "log.db")
    await SqliteLog(tmp_path / "log.db").close()
