"""What usually goes wrong with InfluxDB, looked for one by one: reachable, an InfluxDB 2, the token, its rights, the buckets. Nothing is made or changed."""

import re
from pathlib import Path

import apsw

from iv3.assembly.series import influx_server
from iv3.doctor.findings import Finding, passed
from schemas.settings import Settings
from streams.adapters.series.influx.points import stamp_line
from streams.adapters.series.influx.server import Bucket, InfluxServer
from streams.adapters.series.influx.store import InfluxStore
from streams.errors import SeriesUnavailable
from streams.storage.sqlite import connect

_OLDEST = (2, 7)


async def series(settings: Settings, data: Path, config: Path) -> list[Finding]:
    """The server of `series: influxdb`."""
    del config
    if settings.series != "influxdb":
        return []
    server = influx_server(settings)
    try:
        return await _look(settings, server, data)
    finally:
        await server.close()


async def _look(settings: Settings, server: InfluxServer, data: Path) -> list[Finding]:
    try:
        version = await server.health()
    except SeriesUnavailable as error:
        return [
            Finding(
                "influxdb-unreachable", False, f"{error} Is influxdb.url ({server.url}) right, and is InfluxDB running?"
            )
        ]
    number = re.match(r"v?(\d+)\.(\d+)", version)
    if number is None or int(number[1]) != _OLDEST[0]:
        return [
            Finding("influxdb-unreachable", False, f"What answers at influxdb.url ({server.url}) is no InfluxDB 2{f' but {version}' if version else ''}.")
        ]  # fmt: skip
    found = [passed("influxdb-unreachable", f"InfluxDB {version} answers at {server.url}.")]
    if (int(number[1]), int(number[2])) < _OLDEST:
        found.append(
            Finding(
                "influxdb-old",
                False,
                f"InfluxDB {version} is older than 2.7, with which iv3 is tested: update it.",
                serious=False,
            )
        )
    try:
        await server.org_id()
    except SeriesUnavailable as error:
        return [*found, Finding("influxdb-token", False, str(error))]
    found.append(passed("influxdb-token", f"The token is known, and may see the organisation {server.org}."))
    log_id = _log_id(data)
    if not log_id:
        return found
    return [*found, *await _bucket(InfluxStore(server, settings.influxdb.database, log_id), server)]


async def _bucket(store: InfluxStore, server: InfluxServer) -> list[Finding]:
    """The bucket that serves: there, of this log, for ever; and whether the token may do with it what iv3 does."""
    try:
        if await store.mapped() is None:
            return [
                Finding("influxdb-bucket", False, "There is no series in it yet; `iv3 up` makes it.", serious=False)
            ]
        version = await store.serving()
    except SeriesUnavailable as error:
        return [Finding("influxdb-bucket", False, str(error))]
    bucket = Bucket(f"{store.database}_v{version.number}", version.mark)
    found = [
        passed(
            "influxdb-bucket",
            f"The bucket {bucket.name} is of this log and never forgets; InfluxQL finds it as {store.database}.",
        )
    ]
    try:
        await server.write(bucket, [stamp_line(store.stamp)])  # what lies there already
    except SeriesUnavailable as error:
        return [*found, Finding("influxdb-rights", False, str(error))]
    return [*found, passed("influxdb-rights", "The token may write to it.")]


def _log_id(data: Path) -> str:
    """The log's id, as its file has it; empty where there is no log yet."""
    if not (data / "log.db").exists():
        return ""
    try:
        connection = connect(data / "log.db")
        try:
            row = connection.execute("SELECT v FROM meta WHERE k='log_id'").fetchone()
        finally:
            connection.close()
    except apsw.Error:
        return ""
    return str(row[0]) if row else ""
