"""A house that grows: its file is dealt out to Kafka with twice the partitions, workers go on there, and the archive
brings it back from nothing.
"""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from schemas.envelope import encode
from schemas.facts import GlucoseRead
from streams.adapters.logs.kafka.link import KafkaLink, brokers_of
from streams.adapters.logs.kafka.log import KafkaLog
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.topics import FORECASTS, JOURNAL
from tests.servers.kafka import Kafka, without_topics
from tests.support.erasing import GONE, STAYS, lived, said
from tests.support.histories import everything, histories, places_are_true
from tests.support.workers import Simulation, Worker

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]
MANY = 24


def iv3(folder: Path, *arguments: str, code: int = 0) -> Any:
    """Run a command; what it says, as JSON, or what it complains of."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "iv3", *arguments, "--json"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout) if code == 0 else done.stderr


async def _lived(folder: Path) -> dict[Any, Any]:
    log = SqliteLog(folder / "data" / "log.db")
    await lived(log, 16)
    found = await histories(log)
    await places_are_true(log)
    await log.close()
    return found


async def _of_file(path: Path) -> tuple[int, dict[Any, Any]]:
    log = SqliteLog(path)
    found = log.partitions[JOURNAL], await histories(log)
    await places_are_true(log)
    await log.close()
    return found


async def _on_kafka(kafka: Kafka) -> KafkaLog:
    log = KafkaLog(KafkaLink(brokers_of(kafka.url)))
    await log.open()
    return log


async def _of_kafka(kafka: Kafka) -> tuple[int, dict[Any, Any]]:
    log = await _on_kafka(kafka)
    found = log.partitions[JOURNAL], await histories(log)
    await places_are_true(log)
    await log.close()
    return found


async def _goes_on(kafka: Kafka, worker: Worker) -> None:
    """Every role has all partitions, and new readings get their forecasts."""
    log = await _on_kafka(kafka)
    for role in ("projector", "forecaster", "alerter", "notifier"):
        assert worker.figures()[f'iv3_role_partitions{{role="{role}"}}'] % MANY == 0
    before = len([r for r in await everything(log) if r.topic == FORECASTS])
    for person in (GONE, STAYS):
        await log.append(JOURNAL, person, [encode(said(GlucoseRead(glucose_mgdl=111.0, trend="Flat"), person, 16))])
    until = time.monotonic() + 60
    while len([r for r in await everything(log) if r.topic == FORECASTS]) < before + 2:
        assert time.monotonic() < until, worker.said()
        await asyncio.sleep(0.1)
    await places_are_true(log)
    await log.close()


def test_a_file_goes_to_more_partitions_works_there_and_comes_back_from_the_archive(
    tmp_path: Path, kafka: Kafka
) -> None:
    simulation = Simulation(tmp_path, kafka.url, speed=1.0)
    as_it_was = asyncio.run(_lived(tmp_path))
    did = iv3(tmp_path, "copy", "--from", "sqlite", "--to", "kafka", "--partitions", str(MANY))
    assert did["partitions"] == MANY
    assert asyncio.run(_of_kafka(kafka)) == (MANY, as_it_was)
    again = iv3(tmp_path, "copy", "--from", "sqlite", "--to", "kafka", "--partitions", "36", code=2)
    assert f"were made with {MANY} partitions already, not 36" in again

    worker = Worker(simulation, "w1", data="w1")
    worker.start()
    try:
        asyncio.run(_goes_on(kafka, worker))
        said = iv3(tmp_path, "copy", "--from", "kafka", "--to", "sqlite", "--data", "beside", code=2)
        assert "Somebody works on this log: alerter" in said
    finally:
        worker.stop()

    iv3(tmp_path, "backup", "--to", "folder:archive")
    assert iv3(tmp_path, "verify", "--from", "folder:archive")["problems"] == []
    drilled = iv3(tmp_path, "archive", "drill", "--archive", "folder:archive", "--data", "w1")
    assert drilled["problem"] == ""
    split, known = asyncio.run(_of_kafka(kafka))
    without_topics(kafka.bootstrap)
    iv3(tmp_path, "restore", "--from", "folder:archive", "--data", "anew")
    assert asyncio.run(_of_kafka(kafka)) == (MANY, known), "topics that a restore makes are as the log was"
    again = iv3(tmp_path, "copy", "--from", "kafka", "--to", "sqlite", "--partitions", "12", "--data", "less", code=2)
    assert f"{MANY} partitions cannot become one of 12" in again
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "config.yaml").write_text("person: {id: me}\n")
    iv3(tmp_path / "file", "restore", "--from", "folder:../archive")
    assert asyncio.run(_of_file(tmp_path / "file" / "data" / "log.db")) == (split, known)
    assert split == MANY
