"""The buckets of the older Go program in InfluxDB. They are only read: this module asks questions and nothing else."""

from collections.abc import AsyncIterator
from typing import NamedTuple

from processors.legacy.moving import Row
from streams.adapters.series.influx.server import InfluxServer
from streams.errors import SeriesUnavailable

PAGE_ROWS = 20_000  # some 2 MB of an answer; two months of readings
_ANSWER_S = 60.0  # a count over years on a small machine with a slow disk


class LegacyBucket(NamedTuple):
    """Where one kind of data lies, and which column goes with the value."""

    name: str
    measurement: str
    value: str
    text: str = ""


GLUCOSE = LegacyBucket("iv3_glucose", "glucose", "value", "trend")
INSULIN = LegacyBucket("iv3_insulin", "insulin", "value", "type")
CARBS = LegacyBucket("iv3_carb", "carb", "value")
EVENTS = LegacyBucket("iv3_events", "event", "event")


class LegacyBuckets:
    """Reads page by page, oldest first, and holds one page at a time."""

    def __init__(self, server: InfluxServer, *, page_rows: int = PAGE_ROWS) -> None:
        self._server, self._page_rows = server, page_rows

    async def exists(self, bucket: LegacyBucket) -> bool:
        """Whether the token sees the bucket. Raises SeriesUnavailable."""
        org = await self._server.org_id()
        found = await self._server.call("BucketsService", "get_buckets_async", org_id=org, name=bucket.name, but=404)
        return found is not None and bool(found.buckets)

    async def count(self, bucket: LegacyBucket) -> int:
        """How many points. Raises SeriesUnavailable."""
        asked = f'SELECT count("{bucket.value}") FROM "{bucket.measurement}"'
        (series,) = await self._server.query(bucket.name, [asked], timeout_s=_ANSWER_S)
        return int(series[0]["values"][0][1]) if series else 0

    async def pages(self, bucket: LegacyBucket) -> AsyncIterator[list[Row]]:
        """Every point in the order of time. Raises SeriesUnavailable."""
        columns = f'"{bucket.value}"' + (f', "{bucket.text}"' if bucket.text else "")
        asked = f'SELECT {columns} FROM "{bucket.measurement}"'
        since = ""
        while True:
            statement = f"{asked}{since} ORDER BY time ASC LIMIT {self._page_rows}"
            (series,) = await self._server.query(bucket.name, [statement], timeout_s=_ANSWER_S)
            rows = [Row(*values) for values in series[0]["values"]] if series else []
            if len(rows) < self._page_rows:
                yield rows
                return
            # Points of the last moment may go on beyond the page: they come with the next one.
            last = rows[-1].time_ns
            whole = [row for row in rows if row.time_ns != last]
            if not whole:
                raise SeriesUnavailable(
                    f"The bucket {bucket.name} holds {self._page_rows} points or more of one moment; the "
                    "older program wrote no such thing."
                )
            yield whole
            since = f" WHERE time >= {last}"

    async def close(self) -> None:
        """Let go of the connections."""
        await self._server.close()
