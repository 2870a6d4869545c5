"""A real Apache Kafka (KRaft), one node or three, from Maven Central. Needs Java 17 (a headless one will do) and, once,
Maven.
"""

import asyncio
import base64
import json
import shutil
import socket
import struct
import subprocess
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient

from tests.servers.containers import chosen, process_of, run_once
from tests.servers.ground import NotInstallable, building, cache, free_port, needs

VERSION = "4.4.0"
USER, PASSWORD = "iv3", "a-password-of-tests"
_POM = f"""<project><modelVersion>4.0.0</modelVersion>
<groupId>iv3.test</groupId><artifactId>kafka-broker</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>
  <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency>
  <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.5</version></dependency>
</dependencies></project>
"""
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_JVM = ("-Xmx512m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xss512k", "-Djava.awt.headless=true")
_LOG4J = """<Configuration status="WARN"><Appenders><File name="f" fileName="{log}">
<PatternLayout pattern="%d{{ISO8601}} %p %c{{1}} %m%n"/></File></Appenders>
<Loggers><Root level="WARN"><AppenderRef ref="f"/></Root></Loggers></Configuration>
"""
_SETTINGS = {  # a small and quick broker, with the semantics of a real one
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "true",  # as most brokers are set up: our own admin step must be first
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "1",
    "broker.session.timeout.ms": "3000",  # the wait of a node that is started again after kill -9
    "broker.heartbeat.interval.ms": "500",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "log.cleaner.dedupe.buffer.size": "8388608",
    "log.cleaner.io.buffer.size": "131072",
    "log.cleaner.backoff.ms": "1000",
}


def install() -> Path:
    """The folder of the broker's jars, fetched once (45 MB)."""
    folder = cache() / f"kafka-{VERSION}"
    with building("kafka"):
        if (folder / "complete").exists():
            return folder
        needs("java", "mvn")
        fresh = folder.with_name(f"{folder.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        (fresh / "pom.xml").write_text(_POM)
        command = ["mvn", "-B", "-q", "-f", str(fresh / "pom.xml"), _COPY, "-DincludeScope=runtime"]
        done = subprocess.run(
            [*command, f"-DoutputDirectory={fresh}"], capture_output=True, text=True, timeout=900, check=False
        )
        if done.returncode:
            raise NotInstallable(f"Kafka could not be fetched: {(done.stdout + done.stderr)[-1000:]}")
        (fresh / "complete").touch()
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    return folder


class Broker:
    """One node."""

    def __init__(self, folder: Path, number: int, port: int, controller_port: int) -> None:
        self.folder, self.number, self.port, self.controller_port = folder, number, port, controller_port
        jars = "/opt/kafka/libs/*" if chosen() else f"{install()}/*"
        command = ["java", *_JVM, f"-Dlog4j2.configurationFile={folder}/log4j2.xml", "-cp", jars]
        self.java = command
        self.process = process_of("kafka", [*command, "kafka.Kafka", str(folder / "server.properties")], folder)

    def answers(self, nodes: set[int]) -> bool:
        """Whether it knows these nodes to be alive."""
        return nodes <= _live_nodes(self.port)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.process.start(lambda: self.answers({self.number}))

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self.process.stop()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()

    def freeze(self) -> None:
        """SIGSTOP."""
        self.process.freeze()

    def thaw(self) -> None:
        """SIGCONT."""
        self.process.thaw()


class Kafka:
    """A cluster whose data lies in `folder`; made anew on the same folder it has the same ids and ports."""

    def __init__(
        self, folder: Path, nodes: int = 1, settings: Mapping[str, str] | None = None, *, pem: Path | None = None
    ) -> None:
        """`pem` holds a key and its certificate: then one node listens with TLS and SCRAM besides, at `secure_url`."""
        self.folder, self._pem, self.secure_port = folder, pem, free_port() if pem is not None else 0
        notes = folder / "cluster.json"
        if notes.exists():
            said = json.loads(notes.read_text())
        else:
            cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")
            said = {"id": cluster, "ports": [[free_port(), free_port()] for _ in range(nodes)]}
        self.brokers = [Broker(folder / f"node{n}", n, *ports) for n, ports in enumerate(said["ports"], 1)]
        if not notes.exists():
            self._format(said["id"], dict(settings or {}))
            notes.write_text(json.dumps(said))

    @property
    def bootstrap(self) -> str:
        """host:port of every node."""
        return ",".join(f"127.0.0.1:{broker.port}" for broker in self.brokers)

    @property
    def url(self) -> str:
        """What `log:` names."""
        return f"kafka://{self.bootstrap}"

    @property
    def secure_url(self) -> str:
        """What `log:` names, for the listener with TLS and SCRAM-SHA-512."""
        return f"kafka://127.0.0.1:{self.secure_port}"

    def start(self) -> None:
        """Start every node that is not running, together, and wait until each sees all."""
        nodes = {broker.number for broker in self.brokers}
        for broker in self.brokers:  # a quorum needs the others: wait only once all were started
            broker.process.start(lambda: True)
        for broker in self.brokers:
            broker.process.wait(lambda broker=broker: broker.answers(nodes))  # type: ignore[misc]  # bound now, for the loop goes on

    def stop(self) -> None:
        """Stop every node."""
        for broker in self.brokers:
            broker.stop()

    def kill(self) -> None:
        """SIGKILL to every node."""
        for broker in self.brokers:
            broker.kill()

    def _secure(self, plain: Mapping[str, object]) -> dict[str, object]:
        secure = f"SECURE://127.0.0.1:{self.secure_port}"
        of = "listener.name.secure"
        return {
            "listeners": f"{plain['listeners']},{secure}",
            "advertised.listeners": f"{plain['advertised.listeners']},{secure}",
            "listener.security.protocol.map": f"{plain['listener.security.protocol.map']},SECURE:SASL_SSL",
            f"{of}.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            f"{of}.scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
            f"{of}.ssl.keystore.type": "PEM",
            f"{of}.ssl.keystore.location": self._pem or "",
        }

    def _format(self, cluster: str, more: dict[str, str]) -> None:
        voters = ",".join(f"{b.number}@127.0.0.1:{b.controller_port}" for b in self.brokers)
        copies = min(3, len(self.brokers))
        safe = max(1, copies - 1)
        running = []
        for broker in self.brokers:
            broker.folder.mkdir(parents=True, exist_ok=True)
            (broker.folder / "log4j2.xml").write_text(_LOG4J.format(log=broker.folder / "broker.log"))
            settings = {
                **_SETTINGS,
                "node.id": broker.number,
                "controller.quorum.voters": voters,
                "log.dirs": broker.folder / "data",
                "listeners": f"PLAINTEXT://127.0.0.1:{broker.port},CONTROLLER://127.0.0.1:{broker.controller_port}",
                "advertised.listeners": f"PLAINTEXT://127.0.0.1:{broker.port}",
                "default.replication.factor": copies,
                "min.insync.replicas": safe,
                "offsets.topic.replication.factor": copies,
                "transaction.state.log.replication.factor": copies,
                "transaction.state.log.min.isr": safe,
                "share.coordinator.state.topic.replication.factor": copies,
                "share.coordinator.state.topic.min.isr": safe,
                **more,
            }
            if self._pem is not None:
                settings |= self._secure(settings)
            properties = broker.folder / "server.properties"
            properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
            command = [*broker.java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties)]
            if self._pem is not None:
                command += ["--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"]
            if chosen():
                code, said = run_once("kafka", command, broker.folder)
                if code:
                    raise RuntimeError(f"Kafka's storage could not be formatted: {said}")
                continue
            running.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        for formatting in running:
            said, _ = formatting.communicate(timeout=120)
            if formatting.returncode:
                raise RuntimeError(f"Kafka's storage could not be formatted: {said}")


def _live_nodes(port: int) -> set[int]:
    """The nodes that one node says are alive (Metadata v4, by hand: a server must not be judged by the client under
    test).
    """
    body = struct.pack(">hhih", 3, 4, 1, 2) + b"up" + struct.pack(">i?", 0, False)
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as link:
            link.settimeout(1)
            link.sendall(struct.pack(">i", len(body)) + body)
            size = struct.unpack(">i", link.recv(4, socket.MSG_WAITALL))[0]
            reply = link.recv(size, socket.MSG_WAITALL)
        count, at, found = struct.unpack_from(">i", reply, 8)[0], 12, set()
        for _ in range(count):
            number, host = struct.unpack_from(">ih", reply, at)
            at += 6 + host + 4
            rack = struct.unpack_from(">h", reply, at)[0]
            at += 2 + max(rack, 0)
            found.add(number)
    except (OSError, struct.error):
        return set()
    return found


def without_topics(bootstrap: str) -> None:
    """Delete every topic of ours, and wait until all are gone: what a test leaves must not be there for the next."""

    async def clear() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            while ours := [name for name in await admin.list_topics() if not name.startswith("__")]:
                await admin.delete_topics(ours)
                await asyncio.sleep(0.05)
        finally:
            await admin.close()

    # In a thread of its own: a test that asks for it may have a loop running.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(clear())).result(60)
