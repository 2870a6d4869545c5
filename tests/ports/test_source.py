"""The exam of the GlucoseSource port: wherever readings come from, they are asked for, given, withheld and refused in
the same way.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from processors.simulated_person import simulate
from streams.adapters.simulation.share_server import ShareServer
from streams.adapters.sources.dexcom import DexcomShare
from streams.errors import SourceRefused, SourceUnreachable
from streams.ports.source import GlucoseSource

NOW, MIN = 1_763_985_600_000, 60_000
PASSWORD = "correct horse battery"


@dataclass
class Given:
    """A source, and the other end of it, which has a reading every five minutes up to NOW."""

    make: Callable[[], GlucoseSource]
    make_refused: Callable[[], GlucoseSource]  # with an account that is not let in
    go: Callable[[], Awaitable[None]]
    secrets: tuple[str, ...]


async def by_dexcom_share(folder: Path) -> Given:
    server = ShareServer(
        simulate(5, NOW - 48 * 60 * MIN, NOW), now_ms=lambda: NOW, username="mum@example.org", password=PASSWORD
    )
    await server.start()

    def make(password: str = PASSWORD) -> GlucoseSource:
        return DexcomShare(
            username="mum@example.org",
            password=SecretStr(password),
            region="ous",
            session_file=folder / "session.json",
            base_url=server.url,
            timeout_s=2.0,
            now_ms=lambda: NOW,
        )

    return Given(make, lambda: make("another one"), server.stop, (PASSWORD, "another one", "mum@example.org"))


@pytest.fixture(params=[by_dexcom_share], ids=["dexcom-share"])
async def given(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Given]:
    made: Given = await request.param(tmp_path)
    yield made
    await made.go()


async def test_it_gives_the_readings_of_the_time_asked_for_oldest_first(given: Given) -> None:
    source = given.make()
    fetched = await source.latest(60, 288, may_log_in=True)
    times = [reading.time_ms for reading in fetched.readings]
    assert len(times) > 9
    assert times == sorted(times)
    assert all(NOW - 65 * MIN <= time_ms <= NOW for time_ms in times)
    assert all(39 <= reading.glucose_mgdl <= 401 for reading in fetched.readings)
    day = await source.latest(1440, 288, may_log_in=True)
    assert set(fetched.readings) <= set(day.readings), "the same reading is the same"
    assert len((await source.latest(1440, 5, may_log_in=True)).readings) == 5
    await source.close()


async def test_it_says_who_it_is_and_tells_no_secret(given: Given) -> None:
    source, again = given.make(), given.make()
    assert source.name
    assert source.title
    assert source.nothing_hint
    assert source.account == again.account, "an account's name is part of each reading's identity"
    for said in (source.account, repr(source), f"{source}", source.nothing_hint):
        assert not [secret for secret in given.secrets if secret in said]
    await source.close()
    await again.close()


async def test_an_account_that_is_not_let_in_is_refused_and_no_secret_is_told(given: Given) -> None:
    source = given.make_refused()
    with pytest.raises(SourceRefused) as refused:
        await source.latest(60, 12, may_log_in=True)
    assert not [secret for secret in given.secrets if secret in str(refused.value)]
    await source.close()


async def test_without_a_log_in_that_is_allowed_nothing_is_tried(given: Given) -> None:
    source = given.make_refused()
    with pytest.raises(SourceUnreachable):
        await source.latest(60, 12, may_log_in=False)
    await source.close()


async def test_a_server_that_is_away_is_unreachable_and_may_be_asked_again(given: Given) -> None:
    source = given.make()
    await source.latest(60, 12, may_log_in=True)
    await given.go()
    for _ in range(2):
        with pytest.raises(SourceUnreachable) as away:
            await source.latest(60, 12, may_log_in=True)
        assert not [secret for secret in given.secrets if secret in str(away.value)]
    await source.close()
