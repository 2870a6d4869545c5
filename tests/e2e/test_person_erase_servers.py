"""`iv3 person erase` where the log is on Kafka, the charts in InfluxDB and the archive in a bucket."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from processors.copies.erasing import is_placeholder
from schemas.settings import InfluxSettings
from streams.adapters.archives.s3.archive import S3Archive
from streams.adapters.logs.kafka.link import KafkaLink, brokers_of
from streams.adapters.logs.kafka.log import KafkaLog
from streams.adapters.logs.kafka.replacing import members, topic_ids
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.adapters.series.influx.server import InfluxServer
from streams.adapters.series.influx.store import InfluxStore
from streams.archive.verify import log_ids, read_back
from streams.archive.writer import ArchiveWriter
from streams.clock import SystemClock
from streams.copies.copy_log import copy
from streams.ports.series import SeriesStore
from streams.topics import TOPICS
from streams.views.replay import replay
from tests.servers.influx import Influx
from tests.servers.kafka import Kafka
from tests.servers.s3 import KEY, SECRET, Bucket
from tests.support.erasing import LIE_IN_WAIT, STAYS, WORDS, Place, everything, holding, late, lived
from tests.support.workers import Simulation, Worker

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]


def _link(kafka: Kafka) -> KafkaLink:
    return KafkaLink(brokers_of(kafka.url))


def _store(influx: Influx, log_id: str) -> InfluxStore:
    from pydantic import SecretStr

    said = InfluxSettings(url=influx.url, token=SecretStr(influx.token))
    return InfluxStore(InfluxServer(url=said.url, token=said.token, org=said.org), said.database, log_id, look_s=0.05)


@pytest.fixture
def place(tmp_path: Path, kafka: Kafka, influx: Influx, s3: Bucket) -> Place:
    """Everything on servers: log, series, archive."""

    async def make() -> None:
        file = SqliteLog(tmp_path / "file" / "log.db")
        await lived(file, 16, named_by_him=False)
        log = KafkaLog(_link(kafka), partitions=file.partitions["iv3.journal"])
        await log.open()
        await copy(file, log)
        await file.close()
        await ArchiveWriter(log, S3Archive(s3.settings()), SystemClock()).catch_up()
        store = _store(influx, log.log_id)
        await replay(log, tmp_path / "data", store)
        await store.close()
        await log.close()

    (tmp_path / "data").mkdir()
    asyncio.run(make())
    config = {
        "log": kafka.url,
        "kafka": {"session_s": 4},
        "series": "influxdb",
        "archive": "s3",
        "person": {"id": STAYS},
        "influxdb": {"url": influx.url, "token": influx.token},
        "s3": {"endpoint": s3.server.endpoint, "bucket": s3.name, "key": KEY, "secret": SECRET},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "config.yaml").chmod(0o600)
    return Place(tmp_path)


async def _his(store: SeriesStore) -> set[Any]:
    series = await store.open(await store.serving())
    rows = {row for row in await series.digest() if row.person == STAYS}
    await series.close()
    return rows


async def _seen(kafka: Kafka, influx: Influx) -> tuple[str, dict[tuple[str, int], list[Any]], set[Any]]:
    """The log's id, its records, and the digest of his series."""
    log = KafkaLog(_link(kafka))
    await log.open()
    store = _store(influx, log.log_id)
    found = log.log_id, await everything(log), await _his(store)
    await store.close()
    await log.close()
    return found


def _is_gone(place: Place, before: Any, kafka: Kafka, influx: Influx, s3: Bucket) -> None:
    log_id, records, digest = asyncio.run(_seen(kafka, influx))
    assert log_id != before[0]
    assert digest == before[2] != set()
    for at, old in before[1].items():
        for one, now in zip(old, records[at], strict=True):
            assert now == one or (is_placeholder(now.value) and one.key != STAYS.encode())
    held = repr(list(records.values()))
    assert [word for word in WORDS if word in held] == []
    assert holding([place.data, s3.server.objects / s3.name]) == []
    archive = S3Archive(s3.settings())
    assert asyncio.run(log_ids(archive)) == [log_id]
    report = asyncio.run(read_back(archive, log_id))
    assert (report.problems, report.records) == ([], sum(map(len, records.values())))
    ours = [name for name in influx.buckets() if name.startswith("iv3")]
    assert len(ours) == 1
    people = influx.query("iv3", "SHOW TAG VALUES WITH KEY = person")
    assert {value for one in people for _, value in one["values"]} == {STAYS}
    assert not (place.data / ".erasing").exists()


def test_everything_goes_from_kafka_influxdb_and_the_bucket(
    place: Place, kafka: Kafka, influx: Influx, s3: Bucket
) -> None:
    before = asyncio.run(_seen(kafka, influx))
    assert holding([place.data, s3.server.objects / s3.name])
    old = asyncio.run(topic_ids(_link(kafka)))
    would = place.erase("--dry-run")
    assert asyncio.run(topic_ids(_link(kafka))) == old
    did = place.erase("--yes")
    assert did["erased"] == {topic: n["theirs"] for topic, n in would["records"].items()}
    assert len(did["deleted_buckets"]) == 1
    assert any("file.delete.delay.ms" in said for said in did["remains"])
    assert any("versioning" in said or "versions" in said for said in did["remains"])
    new = asyncio.run(topic_ids(_link(kafka)))
    assert set(new) == set(TOPICS)
    assert not set(new.values()) & set(old.values())
    _is_gone(place, before, kafka, influx, s3)


def test_it_is_refused_while_a_worker_is_at_work(place: Place, kafka: Kafka, influx: Influx, tmp_path: Path) -> None:
    before = asyncio.run(_seen(kafka, influx))
    simulation = Simulation(tmp_path / "simulation", kafka.url, speed=1.0)
    worker = Worker(simulation, "w1", roles="projector,forecaster")
    worker.start()
    try:
        said = place.erase("--yes", code=2)
        assert "Somebody works on this log: forecaster (1" in said
        assert "Stop every iv3 worker" in said
    finally:
        worker.end()
    assert asyncio.run(_seen(kafka, influx))[0] == before[0]


STEPS = {
    "while it copies": "import streams.copies.erase_person as m; m.Erasing._compare = die",
    "before topics are deleted": "import streams.adapters.logs.kafka.replacing as m; m.delete_topics = die",
    "with some topics deleted": (
        "import streams.adapters.logs.kafka.replacing as m; real = m.delete_topics\n"
        "async def some(link, names):\n    await real(link, names[:3]); die()\nm.delete_topics = some"
    ),
    "with all topics deleted": "import iv3.assembly.log as m; m.LogPlace.open = nth(m.LogPlace.open, 4)",
    "while they are filled": "import streams.copies.erase_person as m; m._same = die",
    "before that is noted": "import iv3.operations.erasure as m; m.Erasure._save = nth(m.Erasure._save, 4)",
    "while the new archive is written": (
        "import streams.archive.writer as m; m.ArchiveWriter._one = nth(m.ArchiveWriter._one, 3)"
    ),
    "while charts are made anew": "import iv3.operations.erasure as m; m.replay = die",
}


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_on_servers_the_same_command_ends_it(
    place: Place, kafka: Kafka, influx: Influx, s3: Bucket, step: str
) -> None:
    before = asyncio.run(_seen(kafka, influx))
    place.killed(LIE_IN_WAIT + STEPS[step])
    if step in ("while it copies", "before topics are deleted"):
        assert asyncio.run(_seen(kafka, influx)) == before
    place.erase("--yes")
    _is_gone(place, before, kafka, influx, s3)


def test_what_was_written_between_a_run_that_was_killed_and_the_next_is_not_lost(
    place: Place, kafka: Kafka, influx: Influx, s3: Bucket
) -> None:
    place.killed(LIE_IN_WAIT + STEPS["before topics are deleted"])

    async def somebody() -> None:
        log = KafkaLog(_link(kafka))
        await log.open()
        await late(log, STAYS, 5)
        await log.close()

    asyncio.run(somebody())
    grown = asyncio.run(_seen(kafka, influx))
    assert "it copies anew" in place.erase("--yes", code=2)
    assert asyncio.run(_seen(kafka, influx))[0] == grown[0]
    place.erase("--yes")
    _is_gone(place, grown, kafka, influx, s3)


def test_a_worker_that_wrote_to_half_filled_topics_is_noticed_and_the_copy_is_whole(
    place: Place, kafka: Kafka, influx: Influx, s3: Bucket
) -> None:
    before = asyncio.run(_seen(kafka, influx))
    place.killed(LIE_IN_WAIT + STEPS["with all topics deleted"])
    here = subprocess.run(
        [sys.executable, "-P", "-m", "iv3", "worker"],
        cwd=place.root,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (here.returncode, "was interrupted while Kafka's topics were made anew" in here.stderr) == (2, True)
    assert asyncio.run(topic_ids(_link(kafka))) == {}, "and it made none"

    async def somebody() -> None:
        log = KafkaLog(_link(kafka))
        await log.open()
        await late(log, STAYS, 5)
        await log.close()

    asyncio.run(somebody())
    assert "delete the topics iv3.*" in place.erase("--yes", code=1)
    from tests.servers.kafka import without_topics

    without_topics(kafka.bootstrap)
    place.erase("--yes")
    _is_gone(place, before, kafka, influx, s3)


def test_groups_of_another_log_are_nobodys_business(kafka: Kafka) -> None:
    assert asyncio.run(members(_link(kafka), "0" * 32)) == []
