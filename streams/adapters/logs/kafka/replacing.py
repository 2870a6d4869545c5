"""Taking a log off Kafka so that another can take its place: who still works on it, which topics are its own, and their
deletion.
"""

import asyncio

from aiokafka.errors import UnknownTopicOrPartitionError, for_code

from streams.adapters.logs.kafka.link import KafkaLink
from streams.adapters.logs.kafka.topics import administrator
from streams.adapters.logs.kafka.wire import Wire
from streams.errors import FailedPrecondition, InUse, LogUnavailable
from streams.topics import TOPICS

_GONE_WITHIN_S = 60.0
_LOOK_S = 0.1


async def members(link: KafkaLink, log_id: str) -> list[str]:
    """Groups of this log with somebody in them, each in a few words. Raises LogUnavailable."""
    async with administrator(link) as admin:
        ours = sorted(name for name, *_ in await admin.list_consumer_groups() if name.startswith(f"iv3-{log_id[:16]}-"))
        found = []
        # one a request: aiokafka 0.14.0 reads the answer of a newer version by an older one's layout, right for a
        # single group
        for group in ours:
            (answer,) = await admin.describe_consumer_groups([group])
            code, name, state, _, _, present = answer.groups[0][:6]
            if code:
                raise for_code(code)
            if present:
                found.append(f"{name.rpartition('-')[2]} ({len(present)}, {state.lower()})")
        return sorted(found)


async def refuse_members(link: KafkaLink, log_id: str, session_s: float) -> None:
    """Raise FailedPrecondition while somebody works on this log: what they accept from now on would be nowhere. Raises
    LogUnavailable.
    """
    working = await members(link, log_id)
    if working:
        raise InUse(
            f"Somebody works on this log: {', '.join(working)}. Stop every iv3 worker, poller, api and up; one that "
            f"was killed counts for another {session_s:.0f} s. Nothing was changed."
        )


async def topic_ids(link: KafkaLink) -> dict[str, str]:
    """The id of each topic of iv3 that is there. Makes none. Raises LogUnavailable."""
    wire = Wire(link, ())
    async with administrator(link) as admin:
        there = sorted(set(TOPICS) & set(await admin.list_topics()))
        try:
            await wire.open()
            return {name: await wire.topic_id(name) for name in there}
        finally:
            await wire.close()


async def delete_topics(link: KafkaLink, names: list[str]) -> None:
    """Delete topics and wait until no broker shows them. Raises FailedPrecondition where that is not allowed,
    LogUnavailable.
    """
    async with administrator(link) as admin:
        deadline = asyncio.get_running_loop().time() + _GONE_WITHIN_S
        while left := sorted(set(names) & set(await admin.list_topics())):
            answer = await admin.delete_topics(left)
            for name, code in answer.topic_error_codes:
                if code and for_code(code) is not UnknownTopicOrPartitionError:
                    raise FailedPrecondition(
                        f"Kafka does not delete the topic {name}: {for_code(code).__name__}. The user needs DELETE on "
                        "the topics iv3.*, and the brokers delete.topic.enable=true. Then run the same command again."
                    )
            if asyncio.get_running_loop().time() > deadline:
                raise LogUnavailable(f"Kafka has not deleted {', '.join(left)} yet. Run the same command again.")
            await asyncio.sleep(_LOOK_S)
