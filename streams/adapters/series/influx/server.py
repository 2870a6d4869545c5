"""One InfluxDB 2 server, as the Series speaks to it: write, ask, delete, and what an administrator does.

influxdb-client makes the requests and reads the answers; what carries them is our own exchange, with its limits.
InfluxQL, which it does not speak, is asked here. Every failure is one of two: `SeriesUnavailable`, to be tried again
(an outage, a setting to be mended, an unknown outcome: points may be written again), or `Permanent`, where the server
will never take what was written, with its own words. The token never shows.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import msgpack
from pydantic import SecretStr

from schemas.model import at_ms
from streams.adapters.http_client import TIMEOUT_S, HttpClient, Reply, json_object
from streams.adapters.series.influx.points import PointId
from streams.errors import Misconfigured, Permanent, SeriesUnavailable

MOST_LINES, MOST_BYTES = 5_000, 900_000  # of one write: what the server likes best, and less than proxies allow
_ANSWER_S = 5.0
_ANSWER_BYTES = 256 << 20  # a week of many people's forecasts
_MOST_STATEMENTS = 100
_WORDS = 300
_RIGHTS = "give influxdb.token the right to read and write buckets of the organisation, or use an all-access token"
# The server writes MessagePack in two thirds of the time of JSON, and it is read in half; numbers keep their kind.
_QUESTION = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/x-msgpack"}
_TEXT = "text/plain; charset=utf-8"
_Headers = Mapping[str, str]
_Changes = tuple[str, str] | None  # what is done to which bucket's points


class Bucket(NamedTuple):
    """A bucket; by its id a deleted one is never taken for another of the same name."""

    name: str
    id: str


class _Refusal(Exception):
    """An answer that is no success: the reply, and what was asked."""


class InfluxServer:
    """One server. A request takes at most `timeout_s` seconds, a question at most 5: less than whoever asks waits."""

    def __init__(self, *, url: str, token: SecretStr, org: str, timeout_s: float = TIMEOUT_S) -> None:
        """Does no I/O. Raises Misconfigured for an address that cannot be one."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.username:
            raise Misconfigured("influxdb.url must be like http://localhost:8086; token and org are other settings.")
        self.url, self.org = url.rstrip("/"), org
        self.name = f"InfluxDB ({parts.netloc})"
        self._stranger = f"What answers at influxdb.url ({self.url}) is no InfluxDB 2."
        # Packed answers cost the server more time than they save on any line that a database should be reached by.
        self._headers = {"Authorization": f"Token {token.get_secret_value()}", "Accept-Encoding": "identity"}
        self._exchange = HttpClient(self.name, SeriesUnavailable, timeout_s=timeout_s)
        self._answer_s = min(timeout_s, _ANSWER_S)
        self._api: Any = None
        self._services: Any = None
        self._org_id = ""

    async def close(self) -> None:
        """Let go of the connections."""
        await self._exchange.close()

    async def write(self, bucket: Bucket, lines: Sequence[str]) -> None:
        """Write lines, durably. Raises SeriesUnavailable (some may have landed), Permanent (all the others have)."""
        refused: Permanent | None = None
        to = ("write to", bucket.name)
        for body in _bodies(lines):
            given = (await self.org_id(), bucket.id, body)
            try:
                await self.call(
                    "WriteService", "post_write_async", *given, precision="ns", content_type=_TEXT, changes=to
                )
            except Permanent as error:
                refused = error  # what is beside it in the batch is still to be written
        if refused is not None:
            raise refused

    async def delete(self, bucket: Bucket, place: PointId) -> None:
        """Delete what lies at one nanosecond in one series. Raises SeriesUnavailable and Permanent."""
        seconds, rest = divmod(place.ns, 1_000_000_000)
        moment = f"{at_ms(seconds * 1000):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
        said = {"start": moment, "stop": moment, "predicate": place.key.predicate}
        org, where = await self.org_id(), ("delete from", bucket.name)
        await self.call("DeleteService", "post_delete_async", said, org_id=org, bucket_id=bucket.id, changes=where)

    async def query(
        self,
        database: str,
        statements: Sequence[str],
        params: Mapping[str, object] | None = None,
        *,
        epoch: str = "ns",
        timeout_s: float | None = None,
    ) -> list[list[dict[str, Any]]]:
        """The series of each InfluxQL statement; times are numbers in the unit `epoch`. Raises SeriesUnavailable."""
        found: list[list[dict[str, Any]]] = []
        for n in range(0, len(statements), _MOST_STATEMENTS):
            asked = statements[n : n + _MOST_STATEMENTS]
            form = {"db": database, "q": "; ".join(asked), "epoch": epoch, "params": json.dumps(params or {})}
            reply = await self._ask("POST", "/query", urlencode(form).encode(), _QUESTION, timeout_s or self._answer_s)
            if reply.status != 200:
                raise self._refused(reply, f"read {database}", database)
            try:
                results = msgpack.unpackb(reply.body, use_list=False, unicode_errors="replace")["results"]
                errors = [str(result["error"]) for result in results if "error" in result]
                found += [list(result.get("series", ())) for result in results]
            except (ValueError, KeyError, TypeError):
                raise SeriesUnavailable(f"{self.name} gave an answer that cannot be read.") from None
            if errors:
                said = f"{self.name} could not read {database}: {errors[0][:_WORDS]}. It is tried again."
                raise self.gone(database) if "not found" in errors[0] else SeriesUnavailable(said)
            if len(results) != len(asked):
                raise SeriesUnavailable(f"{self.name} answered {len(results)} of {len(asked)} questions.")
        return found

    async def call(
        self, service: str, operation: str, *given: object, but: int = 0, changes: _Changes = None, **named: object
    ) -> Any:
        """What an operation of influxdb-client answers; None where it is refused with the status `but`. Raises
        SeriesUnavailable; Permanent only where it `changes` points.
        """
        if self._api is None:
            # Loading it takes up to a second, and nobody's alarm waits for that. What it takes for its session is this
            # server, whose exchange looks at certificates; the token it never holds.
            self._services, client = await asyncio.to_thread(_load)
            self._api = client(self.url, client_session_type=lambda **_: self, ssl_context=True).api_client
        asked = getattr(getattr(self._services, service)(self._api), operation)
        try:
            return await asked(*given, **named)
        except _Refusal as refusal:
            reply, request = refusal.args
            if reply.status == but:
                return None
            doing, bucket = changes or ("", "")
            what = f"{doing} the bucket {bucket}" if bucket else request
            raise self._refused(reply, what, bucket, final=bool(bucket)) from None
        except (ValueError, TypeError, AttributeError):  # its models are strict about what they need
            raise SeriesUnavailable(self._stranger) from None

    async def request(self, *, method: str, url: str, headers: _Headers, data: Any = None, **_: object) -> Any:
        """Carry a request as influxdb-client's session. Refusals are raised here: its own would log the answer."""
        path = url.removeprefix(self.url)
        reply = await self._ask(method, path, data.encode() if isinstance(data, str) else data, headers)
        if not 200 <= reply.status < 300:
            raise _Refusal(reply, f"{method} {path.partition('?')[0]}")
        # A page to log in is no list of buckets, though the client reads an empty one from it; nor is a point written.
        silent = path.startswith(("/api/v2/write", "/api/v2/delete"))
        if reply.status != 204 and (silent or json_object(reply.body) is None):
            raise SeriesUnavailable(self._stranger)

        async def read() -> bytes:
            return reply.body

        return SimpleNamespace(status=reply.status, headers=reply.headers, reason="", read=read)

    async def org_id(self) -> str:
        """The id of `influxdb.org`, asked once."""
        if not self._org_id:
            found = await self.call("OrganizationsService", "get_orgs_async", org=self.org, but=404)
            if found is None or not found.orgs:
                raise SeriesUnavailable(
                    f"{self.name} has no organisation {self.org!r} that this token may see: influxdb.org "
                    "or influxdb.token is wrong."
                )
            self._org_id = str(found.orgs[0].id)
        return self._org_id

    async def _ask(self, method: str, path: str, body: bytes | None, headers: _Headers, wait_s: float = 0) -> Reply:
        url, headers = self.url + path, {**headers, **self._headers}
        return await self._exchange.ask(method, url, headers=headers, body=body, limit=_ANSWER_BYTES, timeout_s=wait_s)

    def gone(self, bucket: str) -> SeriesUnavailable:
        """A bucket is not there."""
        return SeriesUnavailable(
            f"{self.name} has no bucket {bucket}, or the token may not see it; a running `iv3 up` makes "
            "what was deleted anew from the log."
        )

    def _refused(self, reply: Reply, what: str, bucket: str, *, final: bool = False) -> SeriesUnavailable | Permanent:
        """What a status other than success means."""
        name, status, wait_s, own = self.name, reply.status, reply.retry_after_s, json_object(reply.body) or {}
        words = str(own.get("message") or own.get("error") or "without a reason")[:_WORDS]
        if status == 404 and bucket:
            return self.gone(bucket)
        if status == 401:
            said = f"{name} does not know the token (401): influxdb.token is wrong or was deleted; set a valid one."
        elif status == 403:
            said = f"{name} does not let the token {what} (403, {words}): {_RIGHTS}."
        elif status == 422 and "field type conflict" in words:
            said = (
                f"The bucket {bucket} holds what iv3 did not write ({words}); run `iv3 replay`, which "
                "makes a new one from the log."
            )
        elif status == 422 and "retention" in words:
            said = f"The bucket {bucket} forgets ({words}): set its retention to never, or delete it for a new one."
        elif final and ("unable to parse" in words or (status == 422 and "too long" in words)):
            # A proxy has its own 400 and 413, which say nothing of the record: only InfluxDB's own words give one up.
            return Permanent(f"{name} refused to {what} ({status}): {words}")
        else:
            again = f" It asks to be left alone for {wait_s:.0f} s." if wait_s else ""
            said = f"{name} could not {what} ({status}, {words}).{again}"
        return SeriesUnavailable(said, retry_after_s=wait_s)


def _bodies(lines: Sequence[str]) -> Iterator[bytes]:
    """The lines, in order, in bodies of a good size. One line that is larger goes alone."""
    body, size = list[bytes](), 0
    for text in lines:
        data = text.encode()
        if body and (len(body) >= MOST_LINES or size + len(data) >= MOST_BYTES):
            yield b"\n".join(body)
            body, size = [], 0
        body.append(data)
        size += len(data) + 1
    if body:
        yield b"\n".join(body)


def _load() -> tuple[Any, Any]:
    """influxdb-client's services, and its client: 26 MB that nobody has who has no InfluxDB."""
    import influxdb_client  # noqa: PLC0415 - loaded with the first call
    from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync  # noqa: PLC0415 - the same

    return influxdb_client, InfluxDBClientAsync
