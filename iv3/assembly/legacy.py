"""The older Go program, as the verbs that move in from it are handed it: its buckets in InfluxDB, and its own HTTP API.
Read only.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import SecretStr

from processors.legacy.moving import LegacyImport
from schemas.settings import InfluxSettings
from streams.adapters.legacy import moving
from streams.adapters.legacy.api import LegacyApi
from streams.adapters.legacy.buckets import INSULIN, LegacyBuckets
from streams.adapters.series.influx.server import InfluxServer
from streams.ports.log import Log

LegacyReport = moving.MoveReport
report_json = moving.as_json


class LegacyHistory:
    """What the older program left in InfluxDB."""

    def __init__(self, buckets: LegacyBuckets) -> None:
        self._buckets = buckets

    async def insulin_names(self) -> set[str]:
        """Every insulin that a dose names. Raises SeriesUnavailable."""
        found: set[str] = set()
        if await self._buckets.exists(INSULIN):
            async for rows in self._buckets.pages(INSULIN):
                found |= {row.text for row in rows if row.text and row.text.strip()}
        return found

    def move(
        self, log: Log | None, person: str, judged: LegacyImport, progress: Callable[[int, int], None]
    ) -> moving.LegacyMove:
        """One run of the import; without a log it can only be looked at."""
        return moving.LegacyMove(self._buckets, log, person, judged, progress)


@asynccontextmanager
async def legacy_history(settings: InfluxSettings, url: str | None, org: str | None) -> AsyncIterator[LegacyHistory]:
    """The history at the configured server, or at another. Raises Misconfigured."""
    server = InfluxServer(url=url or settings.url, token=settings.token, org=org or settings.org)
    try:
        yield LegacyHistory(LegacyBuckets(server))
    finally:
        await server.close()


def legacy_api(url: str, username: str, password: SecretStr, cafile: Path | None) -> LegacyApi:
    """The older program's own API. Raises Misconfigured."""
    return LegacyApi(url, username, password, cafile)
