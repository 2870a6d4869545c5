"""How to reach Kafka: brokers, TLS and SASL, and the arguments that every client of aiokafka takes."""

import asyncio
import logging
import ssl
import time
from dataclasses import dataclass, field
from typing import Any

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaConnectionError, KafkaError
from pydantic import SecretStr

from streams.errors import Misconfigured

REQUEST_TIMEOUT_S = 10.0  # a broker that takes longer for one request is not there
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_DEFAULT_PORT = 9092
_QUIET_S = 10.0
_LOOK_S = 3.0


@dataclass(frozen=True)
class KafkaLink:
    """`tls` and `username` decide the security protocol. Nothing of it is printed but the brokers."""

    brokers: tuple[str, ...]
    tls: ssl.SSLContext | None = None
    mechanism: str = "SCRAM-SHA-512"
    username: str = ""
    password: SecretStr = field(default_factory=lambda: SecretStr(""))

    def __repr__(self) -> str:
        return f"kafka://{','.join(self.brokers)}"

    @property
    def protocol(self) -> str:
        """The security protocol by Kafka's name."""
        return ("SASL_" if self.username else "") + ("SSL" if self.tls else "PLAINTEXT")

    def arguments(self) -> dict[str, Any]:
        """What every client is made with."""
        found: dict[str, Any] = {
            "bootstrap_servers": list(self.brokers),
            "request_timeout_ms": int(REQUEST_TIMEOUT_S * 1000),
            "security_protocol": self.protocol,
            "ssl_context": self.tls,
        }
        if self.username:
            found |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password.get_secret_value(),
            }
        return found


def brokers_of(address: str) -> tuple[str, ...]:
    """The brokers that `kafka://host:port,host:port` names. Raises Misconfigured."""
    rest = address.removeprefix("kafka://")
    found = []
    if "@" in rest:
        raise Misconfigured(
            "log holds a name or password. Write kafka://host:9092, and set kafka.username and "
            "kafka.password beside it."
        )
    for part in rest.split(","):
        host, _, port = part.strip().rpartition(":") if ":" in part else (part.strip(), "", str(_DEFAULT_PORT))
        if rest == address or not host or not port.isdigit() or not 0 < int(port) < 65536 or "/" in part:
            raise Misconfigured(
                f"log: {address} names no brokers. Write it like kafka://host:9092, or "
                "kafka://one:9092,two:9092,three:9092."
            )
        found.append(f"{host}:{port}")
    return tuple(found)


def sentence(link: KafkaLink, error: BaseException) -> str:
    """What a failure of Kafka means and what to try, without any secret."""
    name = type(error).__name__.strip("_")
    tried = _TRY.get(name, "Is it running, and do `log` and the firewall name the same host and port?")
    return f"Kafka at {','.join(link.brokers)} does not do what is asked ({name}). {tried}"


async def reason(link: KafkaLink, error: BaseException) -> str:
    """As `sentence`, after a look at why no connection came about: a client says only that there was none."""
    if not isinstance(error, KafkaConnectionError):
        return sentence(link, error)
    said = link.arguments()
    said.pop("bootstrap_servers")
    for broker in link.brokers:
        host, _, port = broker.rpartition(":")
        try:
            connection = await asyncio.wait_for(create_conn(host, int(port), **said), _LOOK_S)
        except (KafkaError, OSError, TimeoutError) as why:
            error = why
        else:
            connection.close()
            error = _Closed()  # connecting is allowed, and asking is not
    return sentence(link, error)


class _Closed(Exception):
    """The broker took the connection and closed it when it was asked something."""


_TRY = {
    "KafkaConnectionError": (
        "Is it running, and do `log` and the firewall name the same host and port? With TLS, `kafka.tls` must be set."
    ),
    "AuthenticationFailedError": "Check kafka.username, kafka.password and kafka.mechanism.",
    "SaslAuthenticationFailed": "Check kafka.username, kafka.password and kafka.mechanism.",
    "SSLCertVerificationError": (
        "The certificate of the broker is not trusted: kafka.cafile must name "
        "its authority, and `log` the name it was made for."
    ),
    "SSLError": "TLS was not agreed upon: does this port speak TLS, and is kafka.certfile what the broker wants?",
    "Closed": (
        "It closed the connection when it was asked something: does this port want TLS (kafka.tls) "
        "or a password (kafka.username)?"
    ),
    "UnsupportedSaslMechanismError": f"Set kafka.mechanism to what the broker offers: {', '.join(MECHANISMS)}.",
    "TopicAuthorizationFailedError": "The user needs READ, WRITE, DESCRIBE and CREATE on the topics iv3.*.",
    "GroupAuthorizationFailedError": "The user needs READ on the groups iv3-*.",
    "ClusterAuthorizationFailedError": (
        "The user needs CREATE and DESCRIBE_CONFIGS on the cluster, or make the topics by hand."
    ),
    "NotEnoughReplicasError": "Too few brokers are alive to keep what is written safe; it is tried again.",
    "NotEnoughReplicasAfterAppendError": "Too few brokers are alive to keep what is written safe; it is tried again.",
}


class RateLimitedLog(logging.Filter):
    """aiokafka says the same about 50 times a second while a broker is away: each sentence passes once in ten
    seconds.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filter`."""
        now = time.monotonic()
        place = (record.pathname, record.lineno)
        if now - self._last.get(place, -_QUIET_S) < _QUIET_S:
            return False
        self._last[place] = now
        return True


_tamed = RateLimitedLog()


def rate_limit_aiokafka_log() -> None:
    """Rate-limit what aiokafka logs, in every module that it logs from."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "aiokafka":
            logging.getLogger(name).addFilter(_tamed)  # once, however often it is added
