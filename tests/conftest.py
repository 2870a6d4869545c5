"""What every test may ask for: an open log in a temporary folder, and real servers where `--servers` provides them."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from streams.adapters.logs.sqlite.log import SqliteLog
from tests.servers import containers
from tests.servers.influx import Influx
from tests.servers.kafka import Kafka, without_topics
from tests.servers.s3 import Bucket, S3Server

_SERVERS = {"kafka", "influx", "s3"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--servers",
        choices=("none", "local", "docker"),
        default="none",
        help=(
            "real servers: local installs and starts them on loopback, docker runs them in containers, "
            "none leaves their tests out"
        ),
    )


def pytest_configure(config: pytest.Config) -> None:
    """Containers are asked for once, before a test can fail for want of them."""
    if config.getoption("--servers") == "docker":
        trouble = containers.engine_trouble()
        if trouble:
            raise pytest.UsageError(f"--servers=docker: {trouble}")
        os.environ[containers.CHOSEN] = "1"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Mark what asks for a real server, and leave it out where there is none. What may take longest begins first: begun
    last, everybody would wait for it.
    """
    for item in items:
        if _SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.servers)
    if config.getoption("--servers") == "none":
        absent = [item for item in items if item.get_closest_marker("servers")]
        items[:] = [item for item in items if not item.get_closest_marker("servers")]
        config.hook.pytest_deselected(items=absent)
    yield
    items.sort(key=_may_take_s, reverse=True)  # all others stay as they were shuffled


def _may_take_s(item: pytest.Item) -> float:
    """The limit that a test has of its own; 0 for those with the usual one."""
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker is not None and marker.args else 0.0


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    opened = SqliteLog(tmp_path / "log.db")
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: Any) -> Iterator[Kafka]:
    server = Kafka(tmp_path_factory.mktemp("kafka"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def kafka(kafka_server: Kafka) -> Kafka:
    """A broker that runs, without topics."""
    kafka_server.start()
    without_topics(kafka_server.bootstrap)
    return kafka_server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: Any) -> Iterator[S3Server]:
    server = S3Server(tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def s3(s3_server: S3Server) -> Bucket:
    """A fresh bucket on a server that runs."""
    s3_server.start()
    s3_server.thaw()  # a test that froze it may have failed
    return s3_server.bucket()


@pytest.fixture(scope="session")
def influx_server(tmp_path_factory: Any) -> Iterator[Influx]:
    server = Influx(tmp_path_factory.mktemp("influx"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def influx(influx_server: Influx) -> Influx:
    """A server that runs, without buckets of iv3."""
    influx_server.thaw()
    influx_server.start()
    influx_server.clear()
    return influx_server
