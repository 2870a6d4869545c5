"""Which log the configuration names, and the Apps that run on it."""

import json
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.settings import Settings
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.adapters.transport.sqlite import Transport as SqliteTransport
from streams.errors import Misconfigured
from streams.runtime.app import group_of, kafka_settings, make_app

if TYPE_CHECKING:
    from streams.adapters.logs.kafka.link import KafkaLink
    from streams.adapters.logs.kafka.log import KafkaLog

ERASING = "erasing.json"  # in the data folder, while somebody is being erased


@dataclass(frozen=True)
class OpenLog:
    """An open log, and what makes an App of a role on it."""

    log: "SqliteLog | KafkaLog"
    make_app: Callable[[str], Any]


def default_worker() -> str:
    """The machine's name: one worker a machine needs no other."""
    return socket.gethostname().split(".")[0] or "worker"


async def open_log(
    settings: Settings, data: Path, *, demo: bool = False, worker: str | None = None, erasing: bool = False
) -> OpenLog:
    """Open it. Raises Misconfigured, LogUnavailable. `erasing` is for whoever makes Kafka's topics anew, and for nobody else."""
    if demo or settings.log == "sqlite":
        log = SqliteLog(data / "log.db", demo=demo)
        return OpenLog(log, lambda role: make_app(role, partial(SqliteTransport, log), data_folder=str(data / "faust")))
    if not erasing:
        _refuse_half_made(data)
    from streams.adapters.logs.kafka.log import KafkaLog
    from streams.adapters.logs.kafka.topics import Safety
    from streams.adapters.transport.kafka import Transport as KafkaTransport

    kafka = settings.kafka
    opened = KafkaLog(kafka_link(settings), partitions=kafka.partitions, safety=Safety(kafka.copies, kafka.in_sync))
    try:
        await opened.open()
    except BaseException:
        await opened.close()
        raise
    member = kafka_settings(worker or default_worker(), kafka.session_s)
    return OpenLog(
        opened,
        lambda role: make_app(
            group_of(opened, role), partial(KafkaTransport, opened), data_folder=str(data / "faust"), **member
        ),
    )


def _refuse_half_made(data: Path) -> None:
    """Topics that an erasure deleted and has not filled again must not be taken for an empty log."""
    try:
        note = json.loads((data / ERASING).read_text(encoding="utf-8"))
        half_made = note["phase"] == "remaking"
    except (OSError, ValueError, TypeError, KeyError):
        return
    if half_made:
        raise Misconfigured(
            f"The erasure of {note['person']} was interrupted while Kafka's topics were made anew; the log is whole in {data}. "
            f"Run it again first: iv3 person erase {note['person']}"
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
