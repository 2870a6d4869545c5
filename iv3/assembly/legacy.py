"""The older Go program, as the verbs that move in from it are handed it: its buckets in InfluxDB, and its own HTTP API.
Read only.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from iv3.closing import closing
from schemas.settings import InfluxSettings
from streams.adapters.legacy.api import LegacyApi
from streams.adapters.legacy.buckets import INSULIN, LegacyBuckets
from streams.adapters.legacy.moving import LegacyMove, MoveReport
from streams.adapters.legacy.moving import as_json as report_json
from streams.adapters.series.influx.server import InfluxServer

__all__ = ["LegacyApi", "LegacyBuckets", "LegacyMove", "MoveReport", "insulin_names", "legacy_buckets", "report_json"]


@asynccontextmanager
async def legacy_buckets(settings: InfluxSettings, url: str | None, org: str | None) -> AsyncIterator[LegacyBuckets]:
    """What the older program left at the configured server, or at another. Raises FailedPrecondition."""
    async with closing(InfluxServer(url=url or settings.url, token=settings.token, org=org or settings.org)) as server:
        yield LegacyBuckets(server)


async def insulin_names(buckets: LegacyBuckets) -> set[str]:
    """Every insulin that a dose names. Raises SeriesUnavailable."""
    found: set[str] = set()
    if await buckets.exists(INSULIN):
        async for rows in buckets.pages(INSULIN):
            found |= {row.text for row in rows if row.text and row.text.strip()}
    return found
