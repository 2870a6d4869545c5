"""What usually goes wrong with Kafka, looked for: reachable, the password, topics that would forget. Nothing is made or
changed.
"""

from pathlib import Path

from iv3.assembly.log import LogPlace
from iv3.doctor.findings import Finding, failed, noticed, passed
from schemas.settings import Settings
from streams.errors import FailedPrecondition, LogUnavailable


async def log(settings: Settings, data: Path) -> list[Finding]:
    """The brokers of `log: kafka://`."""
    place = LogPlace(settings, data)
    if not place.on_kafka:
        return []
    try:
        brokers, missing = await place.look_at_brokers()
    except LogUnavailable as error:
        return [failed("kafka-unreachable", str(error))]
    except FailedPrecondition as error:
        return [failed("kafka-topics", str(error))]
    alive = "broker is" if brokers == 1 else "brokers are"
    found = [passed("kafka-unreachable", f"{settings.log} answers; {brokers} {alive} alive.")]
    if brokers < 3:
        said = (
            "With fewer than 3 brokers a disk that breaks takes the log with it: keep an archive, on another machine."
        )
        found.append(noticed("kafka-alone", said))
    made = "are made at the first start" if missing else "keep everything for ever"
    return [*found, passed("kafka-topics", f"The topics {made}.")]
