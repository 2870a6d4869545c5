"""The admin step: make the topics, and refuse ones that would forget. It runs before any worker starts, for a broker
that creates topics by itself would delete the log after seven days.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from aiokafka.protocol.metadata import MetadataRequest

from streams.adapters.logs.kafka.link import KafkaLink, reason
from streams.errors import FailedPrecondition, LogUnavailable
from streams.topics import TOPICS, Topic

_VISIBLE_WITHIN_S = 30.0
_MOST_COPIES = 3
_SNAPSHOT_SEGMENT_MS = 3_600_000  # compaction never touches the newest segment: an hour of snapshots is quick to read


@dataclass(frozen=True)
class Safety:
    """How many copies of each record there are, and how many must be written before it counts. None: as many as the
    cluster has, at most 3.
    """

    copies: int | None = None
    in_sync: int | None = None

    def for_cluster(self, brokers: int) -> tuple[int, int]:
        """(copies, in sync) on so many brokers."""
        copies = self.copies or min(_MOST_COPIES, brokers)
        return copies, self.in_sync or max(1, copies - 1)


def settings_of(topic: Topic, in_sync: int) -> dict[str, str]:
    """The topic's configuration, all of it explicit."""
    kept = "-1" if topic.retention_s is None else str(topic.retention_s * 1000)
    settings = {
        "cleanup.policy": "compact" if topic.compacted else "delete",
        "retention.ms": kept,
        "retention.bytes": "-1",
        "min.insync.replicas": str(in_sync),
        "unclean.leader.election.enable": "false",
        "message.timestamp.type": "CreateTime",
        "compression.type": "producer",
    }
    if topic.compacted:
        settings |= {"segment.ms": str(_SNAPSHOT_SEGMENT_MS), "min.cleanable.dirty.ratio": "0.1"}
    return settings


@asynccontextmanager
async def administrator(link: KafkaLink) -> AsyncIterator[AIOKafkaAdminClient]:
    """An open admin client. Raises LogUnavailable, with a sentence why, for whatever Kafka does not do meanwhile."""
    admin = AIOKafkaAdminClient(**link.arguments())
    try:
        await admin.start()
        yield admin
    except (KafkaError, OSError) as error:
        raise LogUnavailable(await reason(link, error)) from error
    finally:
        await admin.close()


async def ensure_topics(link: KafkaLink, partitions: int, safety: Safety) -> int:
    """Make what is missing, then hold every topic against what it must be. Returns how many partitions each topic has.

    Raises FailedPrecondition for a topic that would forget or is split otherwise, LogUnavailable when Kafka does not
    answer.
    """
    async with administrator(link) as admin:
        brokers = [broker["node_id"] for broker in (await admin.describe_cluster())["brokers"]]
        copies, in_sync = safety.for_cluster(len(brokers))
        there = set(await admin.list_topics()) & set(TOPICS)
        if there and len(there) < len(TOPICS):
            partitions = (await _partitions(admin, [min(there)]))[min(there)] or partitions
        await _create(admin, [t for t in TOPICS.values() if t.name not in there], partitions, copies, in_sync)
        await _visible(admin, brokers)
        found = await _checked_partitions(admin)
        await _refuse_forgetful(admin, copies, in_sync)
    return found


async def look_at_topics(link: KafkaLink, safety: Safety) -> tuple[int, list[str]]:
    """How many brokers are alive, and which topics are still to be made. Makes nothing. Raises as `ensure_topics`."""
    async with administrator(link) as admin:
        brokers = [broker["node_id"] for broker in (await admin.describe_cluster())["brokers"]]
        missing = sorted(set(TOPICS) - set(await admin.list_topics()))
        if not missing:
            await _checked_partitions(admin)
            await _refuse_forgetful(admin, *safety.for_cluster(len(brokers)))
    return len(brokers), missing


async def _create(admin: AIOKafkaAdminClient, missing: list[Topic], partitions: int, copies: int, in_sync: int) -> None:
    if not missing:
        return
    wanted = [NewTopic(t.name, partitions, copies, topic_configs=settings_of(t, in_sync)) for t in missing]
    answer = await admin.create_topics(wanted, timeout_ms=20_000)
    for name, code, *words in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            said = words[0] if words else error.__name__
            raise FailedPrecondition(
                f"Kafka does not create the topic {name}: {said}. iv3 asked for {partitions} partitions and {copies} "
                "copies (kafka.copies); see docs/reference/configuration.md."
            )


async def _visible(admin: AIOKafkaAdminClient, brokers: list[int]) -> None:
    """A topic that was just made is not at once in every broker's metadata; a group assigned meanwhile would run
    without it.
    """
    client = admin._client  # noqa: SLF001 - the admin client asks one broker; here each must be asked
    deadline = asyncio.get_running_loop().time() + _VISIBLE_WITHIN_S
    for node in brokers:
        while not await _shows_all(client, node):
            if asyncio.get_running_loop().time() > deadline:
                raise LogUnavailable(
                    f"Kafka's node {node} has no leaders for the topics yet; are enough brokers running?"
                )
            await asyncio.sleep(0.05)


async def _shows_all(client: object, node: int) -> bool:
    try:
        answer = await client.send(node, MetadataRequest(list(TOPICS)))  # type: ignore[attr-defined] # aiokafka's client
    except KafkaError:
        # a node that is down is no reason to wait; its partitions have other leaders, or the next check says so
        return True
    return all(
        topic[0] == 0 and topic[-1] and all(part[0] == 0 and part[2] >= 0 for part in topic[-1])
        for topic in answer.topics
    )


async def _partitions(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, int]:
    return {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics(names)}


async def _checked_partitions(admin: AIOKafkaAdminClient) -> int:
    counts = await _partitions(admin, list(TOPICS))
    if len(set(counts.values())) != 1:
        said = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        raise FailedPrecondition(
            f"The topics have different numbers of partitions ({said}), so one person's records lie in different ones. "
            "Copy the log to fresh topics (iv3 copy), never add partitions by hand."
        )
    return next(iter(counts.values()))


async def _refuse_forgetful(admin: AIOKafkaAdminClient, copies: int, in_sync: int) -> None:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in TOPICS]
    for answer in await admin.describe_configs(resources):
        for code, words, _, name, entries in answer.resources:
            if code:
                raise LogUnavailable(f"Kafka does not tell how the topic {name} is configured: {words or code}.")
            have = {entry[0]: entry[1] for entry in entries}
            wrong = _wrong(TOPICS[name], have, copies, in_sync)
            if wrong:
                raise FailedPrecondition(wrong)


def _wrong(topic: Topic, have: Mapping[str, str | None], copies: int, in_sync: int) -> str:
    """One sentence, where the topic would lose something."""
    must: dict[str, str] = {}
    if topic.compacted:
        must = {"cleanup.policy": "compact"}
    elif topic.retention_s is None:
        must = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
    for key, value in must.items():
        if have.get(key) != value:
            return (
                f"The topic {topic.name} would forget: its {key} is {have.get(key)}, it must be {value}. Nothing was "
                f"started. Set it with: kafka-configs --alter --entity-type topics --entity-name {topic.name} "
                f"--add-config {key}={value}"
            )
    least = int(have.get("min.insync.replicas") or 1)
    if least < min(in_sync, copies):
        return (
            f"The topic {topic.name} counts a record as written once {least} copy has it; it must be {in_sync} "
            "(min.insync.replicas), or a broken disk loses readings. Set it with kafka-configs, or say kafka.in_sync: "
            f"{least} if that is meant."
        )
    return ""
