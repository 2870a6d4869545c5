"""The catalog beside trouble: a record that no fold foresaw, a log that cannot be read."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from schemas.envelope import Author
from schemas.facts import CarbsEaten
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.errors import LogUnavailable
from streams.ports.log import append_events
from streams.topics import JOURNAL
from streams.views.catalog import Catalog
from tests.support.running import until

T0 = 1_795_500_000_000


async def ate(log: SqliteLog, *names: str) -> None:
    author = Author("api", "Mum")
    for name in names:
        await append_events(log, JOURNAL, [author.say(CarbsEaten(grams=20), name, "me", T0)])


async def test_a_record_that_no_fold_foresaw_is_left_out_and_all_others_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next start would only meet the same, and with the catalog its process ends, alarms and all."""
    log = SqliteLog(tmp_path / "log.db")
    await ate(log, "first", "odd", "last")
    catalog = Catalog(log, tmp_path / "catalog-1.db")
    right = catalog._one

    def wrong(event: Any, *more: Any) -> Any:
        if event.id == "odd":
            raise KeyError(event.id)
        return right(event, *more)

    monkeypatch.setattr(catalog, "_one", wrong)
    await catalog.catch_up()
    assert [catalog.entry(name) is not None for name in ("first", "odd", "last")] == [True, False, True]
    await ate(log, "later")
    await catalog.catch_up()
    assert catalog.entry("later") is not None
    catalog.close()
    await log.close()


async def test_while_the_log_cannot_be_read_the_catalog_says_so_and_goes_on_once_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = SqliteLog(tmp_path / "log.db")
    catalog = Catalog(log, tmp_path / "catalog-1.db")
    read = log.read

    async def gone(*_: Any) -> Any:
        raise LogUnavailable("Kafka does not answer")

    monkeypatch.setattr(log, "read", gone)
    monkeypatch.setattr("streams.views.catalog._RETRY_S", 0.02)
    stopping = asyncio.Event()
    following = asyncio.ensure_future(catalog.follow(stopping))
    await ate(log, "one")
    await until(lambda: "the log cannot be read" in catalog.failing)
    monkeypatch.setattr(log, "read", read)
    await until(lambda: catalog.entry("one") is not None)
    await until(lambda: not catalog.failing)
    stopping.set()
    await following
    await log.close()
