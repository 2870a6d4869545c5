"""What usually goes wrong with InfluxDB, looked for one by one: reachable, an InfluxDB 2, the token, its rights, the
buckets. Nothing is made or changed.
"""

import re
from pathlib import Path

from iv3.assembly.log import LogPlace
from iv3.assembly.series import series_store
from iv3.closing import closing
from iv3.doctor.findings import Finding, failed, noticed, passed
from schemas.settings import Settings
from streams.errors import FailedPrecondition, Transient
from streams.ports.series import SeriesExamination

_OLDEST = (2, 7)


async def series(settings: Settings, data: Path) -> list[Finding]:
    """The server of `series: influxdb`."""
    log_id = _log_id(settings, data)
    async with closing(series_store(settings, data, log_id)) as store:
        seen = await store.examine()
    return [] if seen is None else _findings(seen, known_log=bool(log_id))


def _log_id(settings: Settings, data: Path) -> str:
    """The id of the log in the data folder, empty where there is none that can be read: then nothing is said of
    buckets.
    """
    try:
        return LogPlace(settings, data).file_id()
    except (FailedPrecondition, Transient):
        return ""


def _findings(seen: SeriesExamination, *, known_log: bool) -> list[Finding]:
    if seen.failed == "reach":
        said = f"{seen.why} Is influxdb.url ({seen.address}) right, and is InfluxDB running?"
        return [failed("influxdb-unreachable", said)]
    number = re.match(r"v?(\d+)\.(\d+)", seen.version)
    if number is None or int(number[1]) != _OLDEST[0]:
        but = f" but {seen.version}" if seen.version else ""
        said = f"What answers at influxdb.url ({seen.address}) is no InfluxDB 2{but}."
        return [failed("influxdb-unreachable", said)]
    found = [passed("influxdb-unreachable", f"InfluxDB {seen.version} answers at {seen.address}.")]
    if (int(number[1]), int(number[2])) < _OLDEST:
        said = f"InfluxDB {seen.version} is older than 2.7, with which iv3 is tested: update it."
        found.append(noticed("influxdb-old", said))
    if seen.failed == "token":
        return [*found, failed("influxdb-token", seen.why)]
    token = f"The token is known, and may see the organisation {seen.organisation}."
    found.append(passed("influxdb-token", token))
    return [*found, *_bucket(seen)] if known_log else found


def _bucket(seen: SeriesExamination) -> list[Finding]:
    """The bucket that serves: there, of this log, for ever; and whether the token may do with it what iv3 does."""
    if seen.failed == "bucket":
        return [failed("influxdb-bucket", seen.why)]
    if not seen.bucket:
        return [noticed("influxdb-bucket", "There is no series in it yet; `iv3 up` makes it.")]
    said = f"The bucket {seen.bucket} is of this log and never forgets; InfluxQL finds it as {seen.database}."
    found = [passed("influxdb-bucket", said)]
    if seen.failed == "write":
        return [*found, failed("influxdb-rights", seen.why)]
    return [*found, passed("influxdb-rights", "The token may write to it.")]
