"""Versions of the Series as buckets `iv3_v1`, `iv3_v2`, ... of InfluxDB 2; the name `iv3`, for InfluxQL, means one.

Every bucket carries the id of the log it was made from. One of another log is never used or emptied, nor deleted unless
an erasure replaced that log: another one is made beside it.
"""

import asyncio
import logging
import re
from collections.abc import Collection
from functools import partial
from itertools import count
from typing import Any, Literal

from streams.adapters.series.influx.points import stamp_line
from streams.adapters.series.influx.rebuild import InfluxRebuild
from streams.adapters.series.influx.series import STAMPED, InfluxSeries, rows_of
from streams.adapters.series.influx.server import Bucket, InfluxServer
from streams.errors import SeriesUnavailable
from streams.ports.series import SeriesExamination, SeriesVersion

logger = logging.getLogger("iv3.influx")

FORMAT = "1"
_LOOK_S = 2.0  # two small requests each time
_GRACE_LOOKS = 3
_DESCRIPTION = "iv3: derived from the log, and made anew from it"
# Never; in shards of a week, which InfluxDB itself takes for that, and which the ledger counts on.
_NEVER = [{"type": "expire", "everySeconds": 0, "shardGroupDurationSeconds": 604_800}]
_PAGE = 100


class InfluxStore:
    """The `SeriesStore` port. `database` is the name that points at what serves, and what bucket names begin with."""

    def __init__(self, server: InfluxServer, database: str, log_id: str, *, look_s: float = _LOOK_S) -> None:
        self.server, self.database, self.look_s = server, database, look_s
        self.stamp = f"{FORMAT}/{log_id}"
        self._ours: set[str] = set()  # ids of buckets that were looked at

    async def serving(self) -> SeriesVersion:
        """See `SeriesStore.serving`. Raises SeriesUnavailable also where it forgets, or the name is somebody else's."""
        if (version := await self.mapped()) is None:
            raise SeriesUnavailable(f"There is no series in {self.server.name} yet; `iv3 up` makes it.")
        await self._refuse_forgetful(version)
        if version.mark not in self._ours and not await self._is_ours(version):
            raise SeriesUnavailable(
                f"The bucket {self.bucket(version).name} of {self.server.name} is of another log; `iv3 "
                "up` makes one of this log."
            )
        self._ours.add(version.mark)
        return version

    async def ready(self, known: SeriesVersion | None = None) -> SeriesVersion:
        """See `SeriesStore.ready`. While `known` is there, a taken name is left: two would take turns for ever."""
        mapped = await self.mapped()
        if await self._is_ours(mapped):
            return await self.serving()
        if known is not None and await self._is_ours(known):
            raise SeriesUnavailable(
                f"In {self.server.name} another iv3 uses the database name {self.database}, so InfluxQL "
                "and Grafana see its data; this one goes on "
                f"with its own bucket {self.bucket(known).name}. Give one of them another influxdb.database."
            )
        own = await self._own(mapped)
        version = own[-1] if own else await self._create()
        logger.warning("%s holds the series from now on, in %s", self.bucket(version).name, self.server.name)
        await self.serve(version)
        return await self.serving()

    async def open(self, version: SeriesVersion) -> InfluxSeries:
        """See `SeriesStore.open`."""
        return InfluxSeries(self.server, self.bucket(version), self.stamp)

    async def make(self) -> tuple[SeriesVersion, InfluxRebuild]:
        """See `SeriesStore.make`. Of our own versions only the one that serves is kept beside it."""
        mapped = await self.mapped()
        if await self._is_ours(mapped):
            for left in await self._own(mapped):
                await self._delete(left)
        version = await self._create()
        return version, InfluxRebuild(self.server, self.bucket(version), self.stamp)

    async def serve(self, version: SeriesVersion) -> None:
        """See `SeriesStore.serve`. The name points at one version or the other at every moment."""
        org, default = await self.server.org_id(), {"default": True}
        known = next((known for known in await self._mappings() if known.bucket_id == version.mark), None)
        if known is not None:
            await self.server.call("DBRPsService", "patch_dbrpid_async", known.id, default, org_id=org)
            return
        said = {"orgID": org, "bucketID": version.mark, "retention_policy": f"v{version.number}"} | default
        await self.server.call("DBRPsService", "post_dbrp_async", {"database": self.database} | said)

    async def remove(self, version: SeriesVersion) -> None:
        """See `SeriesStore.remove`. Waits as long as others may need to look."""
        if (mapped := await self.mapped()) is not None and mapped.mark == version.mark:
            return
        await asyncio.sleep(_GRACE_LOOKS * self.look_s)
        if await self._is_ours(version):
            await self._delete(version)

    async def close(self) -> None:
        """See `SeriesStore.close`."""
        await self.server.close()

    async def check(self) -> None:
        """See `SeriesStore.check`."""
        await self.versions()

    async def examine(self) -> SeriesExamination:
        """See `SeriesStore.examine`. The write is of a point that lies there already."""
        seen = partial(SeriesExamination, self.server.url, organisation=self.server.org, database=self.database)
        version = bucket = ""
        step: Literal["reach", "token", "bucket", "write"] = "reach"
        try:
            said = await self.server.call("HealthService", "get_health_async", but=404)
            version = str(said.version or "") if said is not None and said.name == "influxdb" else ""
            step = "token"
            await self.server.org_id()
            step = "bucket"
            if await self.mapped() is not None:
                serving = self.bucket(await self.serving())
                bucket, step = serving.name, "write"
                await self.server.write(serving, [stamp_line(self.stamp)])
        except SeriesUnavailable as error:
            return seen(version=version, bucket=bucket, failed=step, why=str(error))
        return seen(version=version, bucket=bucket)

    async def forget_logs(self, log_ids: Collection[str]) -> list[str]:
        """See `SeriesStore.forget_logs`. What was made from the new log never held the person."""
        stamps = {f"{FORMAT}/{log_id}" for log_id in log_ids}
        gone = [version for version in await self.versions() if await self._stamp_of(version) in stamps]
        for version in gone:
            await self._delete(version)
        return [self.bucket(version).name for version in gone]

    async def holding(self, person: str) -> list[str]:
        """See `SeriesStore.holding`."""
        asked, found = ['SHOW TAG VALUES WITH KEY = "person" WHERE "person" = $person'], list[str]()
        for version in await self.versions():
            (tags,) = await self.server.query(self.bucket(version).name, asked, {"person": person})
            if any(value == person for _, value in rows_of(tags)):
                found.append(self.bucket(version).name)
        return found

    def bucket(self, version: SeriesVersion) -> Bucket:
        """Where a version is."""
        return Bucket(f"{self.database}_v{version.number}", version.mark)

    async def mapped(self) -> SeriesVersion | None:
        """The version that the name means, whoever made it. Raises SeriesUnavailable if that is nothing of iv3's."""
        serves = next((known for known in await self._mappings() if known.default), None)
        number = re.fullmatch(r"v(\d+)", serves.retention_policy) if serves else None
        if serves and number is None:
            raise SeriesUnavailable(
                f"In {self.server.name} the database name {self.database} is used for something else (its policy "
                f"{serves.retention_policy}); choose another name with influxdb.database."
            )
        return SeriesVersion(int(number[1]), serves.bucket_id) if serves and number else None

    async def _mappings(self) -> list[Any]:
        said = await self.server.call(
            "DBRPsService", "get_dbr_ps_async", org_id=await self.server.org_id(), db=self.database
        )
        return [known for known in said.content or () if not known.virtual]

    async def versions(self) -> list[SeriesVersion]:
        """Every version there is, whoever made it; the newest is the last. Raises SeriesUnavailable."""
        org, name, found = await self.server.org_id(), re.compile(re.escape(self.database) + r"_v(\d+)"), list[Any]()
        for start in count(0, _PAGE):
            said = await self.server.call("BucketsService", "get_buckets_async", org_id=org, limit=_PAGE, offset=start)
            found += said.buckets or ()
            if len(said.buckets or ()) < _PAGE:
                break
        return sorted(SeriesVersion(int(n[1]), one.id) for one in found if (n := name.fullmatch(one.name)))

    async def _own(self, but: SeriesVersion | None) -> list[SeriesVersion]:
        """Every version of this log but one."""
        return [one for one in await self.versions() if one != but and await self._stamp_of(one) == self.stamp]

    async def _found(self, version: SeriesVersion) -> Any:
        """What the server says of a version's bucket; None if it is gone."""
        found = await self.server.call("BucketsService", "get_buckets_id_async", version.mark, but=404)
        return found if found is not None and found.name == self.bucket(version).name else None

    async def _is_ours(self, version: SeriesVersion | None) -> bool:
        return (
            version is not None
            and await self._found(version) is not None
            and await self._stamp_of(version) == self.stamp
        )

    async def _stamp_of(self, version: SeriesVersion) -> str | None:
        """Whose a bucket is; None if nobody's, empty if somebody's who left no stamp."""
        stamped, anything = await self.server.query(self.bucket(version).name, [STAMPED, "SHOW MEASUREMENTS LIMIT 1"])
        return next((str(log) for _, log in rows_of(stamped)), "" if anything else None)

    async def _create(self) -> SeriesVersion:
        """A new bucket that never forgets, with our stamp. Two who make one at once get the same one, or one each."""
        versions, mapped = await self.versions(), await self.mapped()
        last = max([SeriesVersion(0), *versions, *([mapped] if mapped else [])])
        # One that a crash left without a stamp will do.
        number = last.number + (last not in versions or await self._stamp_of(last) is not None)
        while True:
            version = await self._made(number)
            await self._refuse_forgetful(version)
            if await self._stamp_of(version) is None:
                await self.server.write(self.bucket(version), [stamp_line(self.stamp)])
            if await self._stamp_of(version) == self.stamp:
                return version
            number += 1

    async def _made(self, number: int) -> SeriesVersion:
        """The bucket of a version; made, unless it is there or somebody is quicker."""
        org, name = await self.server.org_id(), self.bucket(SeriesVersion(number)).name
        said = {"orgID": org, "name": name, "retentionRules": _NEVER, "description": _DESCRIPTION}
        made = await self.server.call("BucketsService", "post_buckets_async", said, but=422)
        if made is None:
            (made,) = (await self.server.call("BucketsService", "get_buckets_async", org_id=org, name=name)).buckets
        return SeriesVersion(number, made.id)

    async def _delete(self, version: SeriesVersion) -> None:
        await self.server.call("BucketsService", "delete_buckets_id_async", version.mark, but=404)
        self._ours.discard(version.mark)

    async def _refuse_forgetful(self, version: SeriesVersion) -> None:
        """Raises SeriesUnavailable for a bucket that is gone, or that does not keep what it holds."""
        name, found = self.bucket(version).name, await self._found(version)
        if found is None:
            raise self.server.gone(name)
        forget_s = max((rule.every_seconds or 0 for rule in found.retention_rules), default=0)
        if forget_s:
            raise SeriesUnavailable(
                f"The bucket {name} of {self.server.name} forgets after {forget_s / 86_400:g} days: set its retention "
                f"to never (influx bucket update --id {found.id} --retention 0), or delete it, and iv3 makes it anew."
            )
