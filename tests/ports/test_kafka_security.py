"""Kafka with TLS and SCRAM: the log, the roles and every command speak so, and what is wrong is said in a sentence
without any secret.
"""

import ssl
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from pydantic import SecretStr

from iv3.assembly.log import kafka_link
from iv3.doctor.log import log as check_log
from schemas.settings import Settings
from streams.adapters.logs.kafka.link import KafkaLink, brokers_of
from streams.adapters.logs.kafka.log import KafkaLog
from streams.adapters.transport.kafka import Transport
from streams.clock import SystemClock
from streams.errors import FailedPrecondition, LogUnavailable, Misconfigured
from streams.ports.log import append_events
from streams.roles.forecaster import Forecaster
from streams.runtime.app import group_of, kafka_settings, make_app
from streams.topics import FORECASTS, JOURNAL, partition_of
from tests.servers.kafka import PASSWORD, USER, Kafka
from tests.support.running import caught_up, running
from tests.support.waves import reading

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: Any) -> Path:
    folder: Path = tmp_path_factory.mktemp("tls")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=127.0.0.1",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
    ]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (folder / "both.pem").write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    return folder


@pytest.fixture(scope="module")
def secured(certificate: Path, tmp_path_factory: Any) -> Iterator[Kafka]:
    server = Kafka(tmp_path_factory.mktemp("kafka-tls"), pem=certificate / "both.pem")
    server.start()
    yield server
    server.stop()


def settings(server: Kafka, certificate: Path, **changed: Any) -> Settings:
    said = {"tls": True, "cafile": str(certificate / "cert.pem"), "username": USER, "password": PASSWORD, **changed}
    return Settings.model_validate({"log": server.secure_url, "kafka": said})


async def test_the_log_and_the_roles_work_over_tls_with_a_password(secured: Kafka, certificate: Path) -> None:
    link = kafka_link(settings(secured, certificate))
    assert link.protocol == "SASL_SSL"
    log = KafkaLog(link)
    await log.open()
    forecaster = Forecaster(
        log,
        SystemClock(),
        lambda role: make_app(
            group_of(log, role), partial(Transport, log), data_folder="/nonexistent", **kafka_settings("w", 10)
        ),
    )
    async with running(forecaster):
        for n in range(6):
            await append_events(log, JOURNAL, [reading(n, 100)])
        await caught_up([forecaster])
    assert len(await log.read(FORECASTS, partition_of("me"), 0)) == 6
    await log.close()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"password": "not-the-password"}, "Check kafka.username, kafka.password"),
        ({"username": "", "password": ""}, "kafka.username"),
        ({"mechanism": "SCRAM-SHA-256"}, "kafka.mechanism"),
        ({"cafile": None}, "kafka.cafile"),
    ],
    ids=["wrong password", "no password", "wrong mechanism", "unknown authority"],
)
async def test_what_is_wrong_is_one_sentence_without_the_secret(
    secured: Kafka, certificate: Path, changed: dict[str, Any], said: str
) -> None:
    log = KafkaLog(kafka_link(settings(secured, certificate, **changed)))
    with pytest.raises(LogUnavailable) as refused:
        await log.open()
    await log.close()
    assert said in str(refused.value)
    assert "password-of-tests" not in f"{refused.value}{refused.value.__cause__!r}{log.link!r}"
    assert "not-the-password" not in f"{refused.value}{log.link!r}"


def test_a_password_is_never_sent_in_clear(certificate: Path) -> None:
    with pytest.raises(Misconfigured, match="in clear"):
        kafka_link(
            Settings.model_validate(
                {"log": "kafka://h", "kafka": {"username": "u", "password": "p", "mechanism": "PLAIN"}}
            )
        )
    with pytest.raises(Misconfigured, match="belong together"):
        kafka_link(Settings.model_validate({"log": "kafka://h", "kafka": {"username": "u"}}))
    with pytest.raises(Misconfigured, match=r"kafka\.tls: true"):
        kafka_link(Settings.model_validate({"log": "kafka://h", "kafka": {"cafile": str(certificate / "cert.pem")}}))


@pytest.mark.parametrize(
    "address", ["kafka://", "kafka://:9092", "kafka://host:abc", "kafka://host:9092/x", "host:9092", "kafka://a:1,,b:2"]
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(Misconfigured, match="names no brokers"):
        brokers_of(address)


def test_nothing_of_a_link_is_printed_but_its_brokers() -> None:
    link = KafkaLink(("h:9092",), ssl.create_default_context(), "SCRAM-SHA-512", "somebody", SecretStr("secret"))
    assert repr(link) == "kafka://h:9092"


async def test_the_doctor_looks_at_kafka_and_makes_nothing(kafka: Kafka) -> None:
    said = Settings.model_validate({"log": kafka.url})
    before = await check_log(said, Path())
    assert [(f.name, f.ok) for f in before] == [
        ("kafka-unreachable", True),
        ("kafka-alone", False),
        ("kafka-topics", True),
    ]
    assert "made at the first start" in before[-1].message
    log = KafkaLog(kafka_link(said))
    await log.open()
    await log.close()
    assert "keep everything for ever" in (await check_log(said, Path()))[-1].message
    await _forgetful(kafka.bootstrap)
    (finding,) = await check_log(said, Path())
    assert not finding.ok
    assert "would forget: its retention.ms is 604800000" in finding.message
    log = KafkaLog(kafka_link(said))
    with pytest.raises(FailedPrecondition, match="Nothing was started"):
        await log.open()
    await log.close()


async def _forgetful(bootstrap: str) -> None:
    """What a broker's own defaults, or an administrator who saves disk, would make of the journal."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, JOURNAL, {"retention.ms": "604800000"})])
    await admin.close()
