"""Which log the configuration names, and the Apps that run on it.

`LogPlace` is the one answer to what is asked of a log before it is open: is there one, is it a demo's, what is its id,
is it on Kafka.
"""

import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iv3.closing import closing
from schemas.model import Partition
from schemas.settings import Settings
from streams.adapters.logs.sqlite import replacement
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.adapters.logs.sqlite.stamps import read_stamp
from streams.adapters.transport.sqlite import Transport as SqliteTransport
from streams.errors import InUse, Misconfigured, NotFound
from streams.ports.log import Log, NewLog
from streams.runtime.app import group_of, kafka_settings, make_app
from streams.topics import ARCHIVED, JOURNAL

if TYPE_CHECKING:
    from streams.adapters.logs.kafka.link import KafkaLink

ERASING = "erasing.json"  # in the data folder, while somebody is being erased
LOG_FILE = "log.db"  # in the data folder

# Makes, or opens, a log in a file of its own.
new_log_file: NewLog = SqliteLog


@dataclass(frozen=True)
class OpenLog:
    """An open log, and what makes an App of a role on it."""

    log: Log
    make_app: Callable[[str], Any]


@dataclass(frozen=True)
class LogPlace:
    """Where the log of a configuration and a data folder lies. Asks files and brokers only when it is asked."""

    settings: Settings
    data: Path

    @property
    def on_kafka(self) -> bool:
        """Whether it is on Kafka; else it is a file in the data folder."""
        return self.settings.log != "sqlite"

    @property
    def file(self) -> Path:
        """The file of a log that is one."""
        return self.data / LOG_FILE

    def exists(self) -> bool:
        """Whether there can be something in it: a file is there; on Kafka the topics are made at the first start."""
        return self.on_kafka or self.file.exists()

    def is_demo(self) -> bool:
        """Whether it is a demo's, which is never on Kafka. Raises Misconfigured where there is no log, or the file is
        none of ours.
        """
        return False if self.on_kafka else is_demo(self.data)

    def file_id(self) -> str:
        """The id of the log in the data folder's file; empty where there is none. Raises Misconfigured."""
        return read_stamp(self.file, "log_id")

    async def open(self, *, demo: bool = False, worker: str | None = None, erasing: bool = False) -> OpenLog:
        """Open it. Raises Misconfigured, LogUnavailable. `erasing` is for whoever makes Kafka's topics anew, and for
        nobody else.
        """
        if demo or not self.on_kafka:
            return open_log_file(self.file, demo=demo)
        if not erasing:
            _refuse_half_made(self.data)
        from streams.adapters.logs.kafka.log import KafkaLog
        from streams.adapters.logs.kafka.topics import Safety
        from streams.adapters.transport.kafka import Transport as KafkaTransport

        kafka = self.settings.kafka
        safety = Safety(kafka.copies, kafka.in_sync)
        opened = KafkaLog(kafka_link(self.settings), partitions=kafka.partitions, safety=safety)
        try:
            await opened.open()
        except BaseException:
            await opened.close()
            raise
        member, folder = kafka_settings(worker or default_worker(), kafka.session_s), str(self.data / "faust")
        connect = partial(KafkaTransport, opened)
        return OpenLog(opened, lambda role: make_app(group_of(opened, role), connect, data_folder=folder, **member))

    @asynccontextmanager
    async def opened(self, *, demo: bool = False, erasing: bool = False) -> AsyncIterator[Log]:
        """The log for the length of a block. Raises and takes what `open` does."""
        async with closing((await self.open(demo=demo, erasing=erasing)).log) as log:
            yield log

    # -- exchanging it, for copies and erasures ----------------------------------------------------

    def take_sign_down(self) -> None:
        """Take away the sign of an exchange that was killed, once nobody else can be at it."""
        replacement.take_sign_down(self.file)

    def replace_by(self, copy: Path, heads: Mapping[Partition, int]) -> None:
        """Put a copy in the place of the log's file, unless the log has grown past `heads`. Raises Misconfigured."""
        replacement.replace_log(self.file, copy, heads, ARCHIVED)

    async def topic_ids(self) -> dict[str, str]:
        """The ids of the topics on Kafka by name: topics that were made anew have others. Raises LogUnavailable."""
        from streams.adapters.logs.kafka.replacing import topic_ids

        return await topic_ids(kafka_link(self.settings))

    async def refuse_members(self, log_id: str) -> None:
        """Raises Misconfigured while a worker anywhere is a member of this log's groups; on SQLite nobody elsewhere can
        be.
        """
        if not self.on_kafka:
            return
        from streams.adapters.logs.kafka.replacing import refuse_members

        await refuse_members(kafka_link(self.settings), log_id, self.settings.kafka.session_s)

    async def delete_topics(self, names: Collection[str]) -> None:
        """Delete topics on Kafka, and wait until they are gone. Raises LogUnavailable."""
        from streams.adapters.logs.kafka.replacing import delete_topics

        await delete_topics(kafka_link(self.settings), list(names))

    async def look_at_brokers(self) -> tuple[int, bool]:
        """How many brokers live, and whether the topics are still to be made. Raises LogUnavailable, Misconfigured
        where they would forget.
        """
        from streams.adapters.logs.kafka.topics import Safety, look_at_topics

        kafka = self.settings.kafka
        brokers, missing = await look_at_topics(kafka_link(self.settings), Safety(kafka.copies, kafka.in_sync))
        return brokers, bool(missing)

    async def has_topics(self) -> bool:
        """Whether there is a log of iv3 at all. Raises LogUnavailable."""
        return not self.on_kafka or JOURNAL in await self.topic_ids()


def open_log_file(path: Path, *, demo: bool = False) -> OpenLog:
    """The log in a file, and Apps on it. Raises Misconfigured, LogUnavailable."""
    log = SqliteLog(path, demo=demo)
    folder, connect = str(path.parent / "faust"), partial(SqliteTransport, log)
    return OpenLog(log, lambda role: make_app(role, connect, data_folder=folder))


def is_demo(data: Path) -> bool:
    """Whether the log in a folder is a demo's. Raises Misconfigured where there is none, or the file is none of
    ours.
    """
    stamp = read_stamp(data / LOG_FILE, "demo")
    if not stamp:
        raise NotFound(f"There is no log in {data}. Name the data folder with --data (the demo's is ./data-demo).")
    return stamp == "1"


def holds_demo(data: Path) -> bool:
    """Whether there is a log in a folder, and it is a demo's. Raises Misconfigured where the file is none of ours."""
    return (data / LOG_FILE).exists() and is_demo(data)


def default_worker() -> str:
    """The machine's name: one worker a machine needs no other."""
    return socket.gethostname().split(".")[0] or "worker"


def _refuse_half_made(data: Path) -> None:
    """Topics that an erasure deleted and has not filled again must not be taken for an empty log."""
    try:
        note = json.loads((data / ERASING).read_text(encoding="utf-8"))
        half_made = note["phase"] == "remaking"
    except (OSError, ValueError, TypeError, KeyError):
        return
    if half_made:
        raise InUse(
            f"The erasure of {note['person']} was interrupted while Kafka's topics were made anew; the log is whole in "
            f"{data}. Run it again first: iv3 person erase {note['person']}"
        )


def kafka_link(settings: Settings) -> "KafkaLink":
    """How Kafka is reached. Raises Misconfigured for what cannot be."""
    from streams.adapters.logs.kafka.link import MECHANISMS, KafkaLink, brokers_of

    kafka = settings.kafka
    if bool(kafka.username) != bool(kafka.password.get_secret_value()):
        raise Misconfigured("kafka.username and kafka.password belong together: set both, or neither.")
    if kafka.mechanism not in MECHANISMS:
        raise Misconfigured(f"kafka.mechanism must be one of {', '.join(MECHANISMS)}.")
    if kafka.username and not kafka.tls and kafka.mechanism == "PLAIN":
        raise Misconfigured(
            "kafka.mechanism PLAIN sends the password in clear: set kafka.tls: true, or use SCRAM-SHA-512."
        )
    return KafkaLink(brokers_of(settings.log), _tls(settings), kafka.mechanism, kafka.username, kafka.password)


def _tls(settings: Settings) -> ssl.SSLContext | None:
    kafka = settings.kafka
    if not kafka.tls:
        if kafka.cafile or kafka.certfile:
            raise Misconfigured("kafka.cafile and kafka.certfile are for TLS: set kafka.tls: true besides.")
        return None
    if bool(kafka.certfile) != bool(kafka.keyfile):
        raise Misconfigured("kafka.certfile and kafka.keyfile belong together: set both, or neither.")
    try:
        context = ssl.create_default_context(cafile=kafka.cafile)
        if kafka.certfile:
            context.load_cert_chain(kafka.certfile, kafka.keyfile)
    except (OSError, ssl.SSLError) as error:
        raise Misconfigured(f"kafka.cafile, kafka.certfile and kafka.keyfile cannot be used: {error}.") from None
    return context
