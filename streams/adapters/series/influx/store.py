"""Versions of the Series as buckets of an InfluxDB 2 server: `iv3_v1`, `iv3_v2`, ... The name `iv3`, by which InfluxQL and Grafana ask, points at the
one that serves.

Every bucket carries the id of the log it was made from. One of another log is never used, emptied or deleted: another one is made beside it.
"""

import asyncio
import logging
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

from streams.adapters.series.influx.points import LEDGER_END_NS, LEDGER_NS, STAMP, stamp_line
from streams.adapters.series.influx.reads import rows_of
from streams.adapters.series.influx.rebuild import InfluxRebuild
from streams.adapters.series.influx.series import InfluxSeries
from streams.adapters.series.influx.server import Bucket, InfluxServer
from streams.errors import SeriesUnavailable
from streams.ports.series import SeriesExamination, SeriesVersion

logger = logging.getLogger("iv3.influx")

FORMAT = "1"
_LOOK_S = 2.0  # two small requests each time
_GRACE_LOOKS = 3
_WEEK_S = 604_800  # what InfluxDB itself takes for a bucket that never forgets; the ledger counts on it
_PAGE = 100


class Mapped(NamedTuple):
    """What the name points at."""

    id: str
    number: int
    bucket_id: str


class InfluxStore:
    """The `SeriesStore` port. `database` is the name that points at the serving version, and what bucket names begin with."""

    def __init__(self, server: InfluxServer, database: str, log_id: str, *, look_s: float = _LOOK_S) -> None:
        self.server, self.database, self.look_s = server, database, look_s
        self.stamp = f"{FORMAT}/{log_id}"
        self._ours: set[str] = set()  # ids of buckets that were looked at

    # -- the port ----------------------------------------------------------------------------------

    async def serving(self) -> SeriesVersion:
        """See `SeriesStore.serving`. Raises SeriesUnavailable also where the bucket forgets, or the name is somebody else's."""
        mapped = await self.mapped()
        if mapped is None:
            raise SeriesUnavailable(f"There is no series in {self.server.name} yet; `iv3 up` makes it.")
        bucket = Bucket(self._name(mapped.number), mapped.bucket_id)
        found = await self.bucket(bucket.id)
        if found is None:
            raise self.server.gone(bucket.name)
        self._refuse_forgetful(found)
        if bucket.id not in self._ours:
            if not await self._is_ours(bucket):
                raise SeriesUnavailable(
                    f"The bucket {bucket.name} of {self.server.name} is of another log; `iv3 up` makes one of this log."
                )
            self._ours.add(bucket.id)
        return SeriesVersion(mapped.number, bucket.id)

    async def ready(self, known: SeriesVersion | None = None) -> SeriesVersion:
        """See `SeriesStore.ready`. While `known` is there, a name that somebody else took is left to them: two would take it in turns for ever."""
        mapped = await self.mapped()
        if mapped is not None and await self._is_ours(Bucket(self._name(mapped.number), mapped.bucket_id)):
            return await self.serving()
        if known is not None and await self._is_ours(Bucket(self._name(known.number), known.mark)):
            raise SeriesUnavailable(
                f"In {self.server.name} another iv3 uses the database name {self.database}, so InfluxQL and Grafana see its data; this one goes on "
                f"with its own bucket {self._name(known.number)}. Give one of them another influxdb.database."
            )
        own = [number for number, bucket in await self._own() if mapped is None or number != mapped.number]
        version = SeriesVersion(max(own), (await self.versions())[max(own)]["id"]) if own else await self._create()
        logger.warning("%s holds the series from now on, in %s", self._name(version.number), self.server.name)
        await self.serve(version)
        return await self.serving()

    async def open(self, version: SeriesVersion) -> InfluxSeries:
        """See `SeriesStore.open`."""
        return InfluxSeries(self.server, Bucket(self._name(version.number), version.mark), self.stamp)

    async def make(self) -> tuple[SeriesVersion, InfluxRebuild]:
        """See `SeriesStore.make`. Of our own versions only the one that serves is kept beside it."""
        mapped = await self.mapped()
        if mapped is not None and await self._is_ours(Bucket(self._name(mapped.number), mapped.bucket_id)):
            for number, bucket in await self._own():
                if number != mapped.number:
                    await self._delete(bucket)
        version = await self._create()
        return version, InfluxRebuild(self.server, Bucket(self._name(version.number), version.mark), self.stamp)

    async def serve(self, version: SeriesVersion) -> None:
        """See `SeriesStore.serve`. The name points at one version or the other at every moment."""
        org = await self.server.org_id()
        for known in await self._mappings():
            if known["bucketID"] == version.mark:
                where = f"/api/v2/dbrps/{known['id']}?orgID={org}"
                await self.server.administer("PATCH", where, {"default": True})
                return
        said = {
            "orgID": org, "bucketID": version.mark, "database": self.database, "retention_policy": f"v{version.number}", "default": True,
        }  # fmt: skip
        await self.server.administer("POST", "/api/v2/dbrps", said)

    async def remove(self, version: SeriesVersion) -> None:
        """See `SeriesStore.remove`. Waits as long as others may need to look."""
        mapped = await self.mapped()
        if mapped is not None and mapped.bucket_id == version.mark:
            return
        await asyncio.sleep(_GRACE_LOOKS * self.look_s)
        bucket = Bucket(self._name(version.number), version.mark)
        if await self._is_ours(bucket):
            await self._delete(bucket)

    async def check(self) -> None:
        """See `SeriesStore.check`."""
        await self.versions()

    async def examine(self) -> SeriesExamination:
        """See `SeriesStore.examine`. The write is of a point that lies there already."""
        seen = SeriesExamination(self.server.url, organisation=self.server.org, database=self.database)
        step: Literal["reach", "token", "bucket", "write"] = "reach"
        try:
            seen = replace(seen, version=await self.server.health())
            step = "token"
            await self.server.org_id()
            step = "bucket"
            if await self.mapped() is None:
                return seen
            version = await self.serving()
            seen, step = replace(seen, bucket=self._name(version.number)), "write"
            await self.server.write(Bucket(seen.bucket, version.mark), [stamp_line(self.stamp)])
        except SeriesUnavailable as error:
            return replace(seen, failed=step, why=str(error))
        return seen

    async def forget_logs(self, log_ids: Collection[str]) -> list[str]:
        """See `SeriesStore.forget_logs`. What was made from the new log never held the person."""
        stamps = {f"{FORMAT}/{log_id}" for log_id in log_ids}
        gone = []
        for _, said in sorted((await self.versions()).items()):
            bucket = Bucket(said["name"], said["id"])
            if await self.stamp_of(bucket) in stamps:
                await self._delete(bucket)
                gone.append(bucket.name)
        return gone

    async def holding(self, person: str) -> list[str]:
        """See `SeriesStore.holding`."""
        found = []
        for _, said in sorted((await self.versions()).items()):
            (tags,) = await self.server.query(
                said["name"], ['SHOW TAG VALUES WITH KEY = "person" WHERE "person" = $person'], {"person": person}
            )
            if any(row.get("value") == person for row in rows_of(tags)):
                found.append(said["name"])
        return found

    async def close(self) -> None:
        """See `SeriesStore.close`."""
        await self.server.close()

    # -- looking -----------------------------------------------------------------------------------

    async def mapped(self) -> Mapped | None:
        """What the name points at now. Raises SeriesUnavailable if that is nothing of iv3's."""
        for known in await self._mappings():
            if not known["default"]:
                continue
            number = re.fullmatch(r"v(\d+)", known["retention_policy"])
            if number is None:
                raise SeriesUnavailable(
                    f"In {self.server.name} the database name {self.database} is used for something else (its policy "
                    f"{known['retention_policy']}); choose another name with influxdb.database."
                )
            return Mapped(known["id"], int(number[1]), known["bucketID"])
        return None

    async def _mappings(self) -> list[dict[str, Any]]:
        where = f"/api/v2/dbrps?orgID={await self.server.org_id()}&db={quote(self.database, safe='')}"
        _, found = await self.server.administer("GET", where)
        return [known for known in found.get("content", []) if not known.get("virtual")]

    async def bucket(self, bucket_id: str) -> dict[str, Any] | None:
        """What the server says of a bucket; None if it is gone."""
        status, found = await self.server.administer("GET", f"/api/v2/buckets/{bucket_id}", missing_ok=True)
        return None if status == 404 else found

    async def versions(self) -> dict[int, dict[str, Any]]:
        """Every bucket whose name is a version's."""
        found: dict[int, dict[str, Any]] = {}
        org, start = await self.server.org_id(), 0
        while True:
            where = f"/api/v2/buckets?orgID={org}&limit={_PAGE}&offset={start}"
            _, page = await self.server.administer("GET", where)
            for bucket in page.get("buckets", []):
                number = re.fullmatch(re.escape(self.database) + r"_v(\d+)", bucket["name"])
                if number is not None:
                    found[int(number[1])] = bucket
            if len(page.get("buckets", [])) < _PAGE:
                return found
            start += _PAGE

    async def _own(self) -> list[tuple[int, Bucket]]:
        """Every version of this log."""
        found = [(number, Bucket(said["name"], said["id"])) for number, said in (await self.versions()).items()]
        return [(number, bucket) for number, bucket in found if await self.stamp_of(bucket) == self.stamp]

    async def _is_ours(self, bucket: Bucket) -> bool:
        found = await self.bucket(bucket.id)
        return found is not None and found["name"] == bucket.name and await self.stamp_of(bucket) == self.stamp

    async def stamp_of(self, bucket: Bucket) -> str | None:
        """Whose a bucket is; None if nobody's, empty if somebody's who left no stamp."""
        stamped, anything = await self.server.query(
            bucket.name, [f"SELECT log FROM {STAMP} WHERE time>={LEDGER_NS} AND time<{LEDGER_END_NS}", "SHOW MEASUREMENTS LIMIT 1"]
        )  # fmt: skip
        for row in rows_of(stamped):
            return str(row["log"])
        return "" if anything else None

    # -- making ------------------------------------------------------------------------------------

    async def _create(self) -> SeriesVersion:
        """A new version: a bucket that never forgets, with our stamp. Two who do this at once end up with the same one, or one each."""
        numbers, mapped = await self.versions(), await self.mapped()
        number = max([0, *numbers, mapped.number if mapped else 0])
        # One that a crash left without a stamp will do.
        left = numbers.get(number)
        if left is None or await self.stamp_of(Bucket(left["name"], left["id"])) is not None:
            number += 1
        while True:
            found = numbers.get(number)
            if found is None:
                status, found = await self._post_bucket(number)
                if status == 422:  # somebody was quicker
                    numbers = await self.versions()
                    found = numbers.get(number)
            adopted = await self._adopt(found) if found else None
            if adopted is not None:
                return SeriesVersion(number, adopted)
            number += 1

    async def _post_bucket(self, number: int) -> tuple[int, dict[str, Any]]:
        said = {
            "orgID": await self.server.org_id(), "name": self._name(number), "description": "iv3: derived from the log, and made anew from it",
            "retentionRules": [{"type": "expire", "everySeconds": 0, "shardGroupDurationSeconds": _WEEK_S}],
        }  # fmt: skip
        return await self.server.administer("POST", "/api/v2/buckets", said, conflict_ok=True)

    async def _adopt(self, found: Mapping[str, Any]) -> str | None:
        """The id of a bucket that is ours now; None if it is somebody else's."""
        self._refuse_forgetful(found)
        bucket = Bucket(found["name"], found["id"])
        if await self.stamp_of(bucket) is None:
            await self.server.write(bucket, [stamp_line(self.stamp)])
        return bucket.id if await self.stamp_of(bucket) == self.stamp else None

    async def _delete(self, bucket: Bucket) -> None:
        await self.server.administer("DELETE", f"/api/v2/buckets/{bucket.id}", missing_ok=True)
        self._ours.discard(bucket.id)

    def _refuse_forgetful(self, bucket: Mapping[str, Any]) -> None:
        forget_s = max((rule.get("everySeconds", 0) for rule in bucket.get("retentionRules", [])), default=0)
        if forget_s:
            raise SeriesUnavailable(
                f"The bucket {bucket['name']} of {self.server.name} forgets after {forget_s / 86_400:g} days: set its retention to never "
                f"(influx bucket update --id {bucket['id']} --retention 0), or delete it, and iv3 makes it anew."
            )

    def _name(self, number: int) -> str:
        return f"{self.database}_v{number}"
