"""Buckets of logs that an erasure replaced: deleted whole. What was made from the new log never held the person."""

from collections.abc import Collection

from streams.adapters.series.influx.reads import rows_of
from streams.adapters.series.influx.server import Bucket
from streams.adapters.series.influx.store import FORMAT, InfluxStore


async def forget_logs(store: InfluxStore, log_ids: Collection[str]) -> list[str]:
    """Delete every bucket that was made from one of these logs; their names. Raises SeriesUnavailable."""
    stamps = {f"{FORMAT}/{log_id}" for log_id in log_ids}
    gone = []
    for _, said in sorted((await store.versions()).items()):
        bucket = Bucket(said["name"], said["id"])
        if await store.stamp_of(bucket) in stamps:
            await store.server.administer("DELETE", f"/api/v2/buckets/{bucket.id}", missing_ok=True)
            gone.append(bucket.name)
    return gone


async def holding(store: InfluxStore, person: str) -> list[str]:
    """Buckets, whoever made them, that hold points of the person. Raises SeriesUnavailable."""
    found = []
    for _, said in sorted((await store.versions()).items()):
        (tags,) = await store.server.query(
            said["name"], ['SHOW TAG VALUES WITH KEY = "person" WHERE "person" = $person'], {"person": person}
        )
        if any(row.get("value") == person for row in rows_of(tags)):
            found.append(said["name"])
    return found
