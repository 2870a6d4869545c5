"""One InfluxDB 2 server, as the Series speaks to it: write, ask, delete, and the few things of an administrator.

Every failure is one of two: `SeriesUnavailable`, to be tried again (an outage, a setting to be mended, an unknown outcome: points may be written
again), or `Permanent`, where the server will never take what was written, with its own words. The token never shows.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import msgpack
import pydantic_core
from pydantic import SecretStr

from schemas.model import at_ms
from streams.adapters.http_client import TIMEOUT_S, HttpClient, NoAnswer, Reply
from streams.errors import Misconfigured, Permanent, SeriesUnavailable

MOST_LINES, MOST_BYTES = 5_000, 900_000  # of one write: what the server likes best, and less than proxies allow
_ANSWER_S = 5.0
_ANSWER_BYTES = 256 << 20  # a week of many people's forecasts
_MOST_STATEMENTS = 100
_WORDS = 300
_RIGHTS = "give influxdb.token the right to read and write buckets of the organisation, or use an all-access token"


class Bucket(NamedTuple):
    """A bucket; by its id a deleted one is never taken for another of the same name."""

    name: str
    id: str


class InfluxServer:
    """Each request takes at most `timeout_s` seconds, a question at most 5: whoever asked is told before their own patience ends."""

    def __init__(self, *, url: str, token: SecretStr, org: str, timeout_s: float = TIMEOUT_S) -> None:
        """Does no I/O. Raises Misconfigured for an address that cannot be one."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.username:
            raise Misconfigured("influxdb.url must be like http://localhost:8086; token and org are other settings.")
        self.url, self.org = url.rstrip("/"), org
        self.name = f"InfluxDB ({parts.netloc})"
        # Packed answers cost the server more time than they save on any line that a database should be reached by.
        self._headers = {"Authorization": f"Token {token.get_secret_value()}", "Accept-Encoding": "identity"}
        self._exchange = HttpClient(self.name, timeout_s=timeout_s)
        self._answer_s = min(timeout_s, _ANSWER_S)
        self._org_id = ""

    def __repr__(self) -> str:
        """Name the server and nothing else."""
        return f"InfluxServer({self.name})"

    # -- points ------------------------------------------------------------------------------------

    async def write(self, bucket: Bucket, lines: Sequence[str]) -> None:
        """Write lines; they are on disk when this returns. Raises SeriesUnavailable (some may have landed), Permanent (the others have)."""
        where = f"/api/v2/write?precision=ns&bucket={bucket.id}&org={await self.org_id()}"
        refused: Permanent | None = None
        for body in _bodies(lines):
            reply = await self._ask("POST", where, body, {"Content-Type": "text/plain; charset=utf-8"})
            if reply.status == 204:
                continue
            try:
                self._refuse(reply, f"write to the bucket {bucket.name}", bucket.name)
            except Permanent as error:
                refused = error  # what is beside it in the batch is still to be written
        if refused is not None:
            raise refused

    async def delete(self, bucket: Bucket, ns: int, predicate: str) -> None:
        """Delete what lies at one nanosecond in one series. Never without a predicate, which would delete everything there."""
        if "_measurement=" not in predicate:
            raise AssertionError(predicate)
        moment = rfc3339(ns)
        body = json.dumps({"start": moment, "stop": moment, "predicate": predicate}).encode()
        where = f"/api/v2/delete?bucketID={bucket.id}&orgID={await self.org_id()}"
        reply = await self._ask("POST", where, body, _JSON)
        if reply.status != 204:
            self._refuse(reply, f"delete from the bucket {bucket.name}", bucket.name)

    async def query(
        self, database: str, statements: Sequence[str], params: Mapping[str, object] | None = None, *, epoch: str = "ns",
        timeout_s: float | None = None,
    ) -> list[list[dict[str, Any]]]:  # fmt: skip
        """The series of each InfluxQL statement; times are numbers in the unit `epoch`. Raises SeriesUnavailable."""
        found: list[list[dict[str, Any]]] = []
        for n in range(0, len(statements), _MOST_STATEMENTS):
            asked = statements[n : n + _MOST_STATEMENTS]
            reply = await self._select(database, asked, params, epoch, timeout_s)
            try:
                results = msgpack.unpackb(reply.body, use_list=False, unicode_errors="replace")["results"]
                for result in results:
                    if "error" in result:
                        raise self._not_answered(database, str(result["error"]))
                    found.append(list(result.get("series", ())))
            except (ValueError, KeyError, TypeError):
                raise SeriesUnavailable(f"{self.name} gave an answer that cannot be read.") from None
            if len(results) != len(asked):
                raise SeriesUnavailable(f"{self.name} answered {len(results)} of {len(asked)} questions.")
        return found

    async def _select(
        self, database: str, statements: Sequence[str], params: Mapping[str, object] | None, epoch: str,
        timeout_s: float | None,
    ) -> Reply:  # fmt: skip
        form = {"db": database, "q": "; ".join(statements), "epoch": epoch, "params": json.dumps(params or {})}
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": _PACKED}
        reply = await self._ask("POST", "/query", urlencode(form).encode(), headers, timeout_s or self._answer_s)
        if reply.status != 200:
            try:
                self._refuse(reply, f"read {database}", database)
            except Permanent as error:
                raise SeriesUnavailable(str(error)) from None
        return reply

    def _not_answered(self, database: str, words: str) -> SeriesUnavailable:
        if "not found" in words:
            return self.gone(database)
        return SeriesUnavailable(f"{self.name} could not read {database}: {words[:_WORDS]}. It is tried again.")

    # -- administration ----------------------------------------------------------------------------

    async def org_id(self) -> str:
        """The id of `influxdb.org`, asked once."""
        if not self._org_id:
            status, found = await self.administer(
                "GET", f"/api/v2/orgs?org={quote(self.org, safe='')}", missing_ok=True
            )
            if status == 404 or not found.get("orgs"):
                raise SeriesUnavailable(
                    f"{self.name} has no organisation {self.org!r} that this token may see: influxdb.org or influxdb.token is wrong."
                )
            self._org_id = str(found["orgs"][0]["id"])
        return self._org_id

    async def administer(
        self, method: str, path: str, body: Mapping[str, object] | None = None, *, missing_ok: bool = False, conflict_ok: bool = False
    ) -> tuple[int, dict[str, Any]]:  # fmt: skip
        """(status, answer) of a request for one who administers. Raises SeriesUnavailable."""
        data = json.dumps(body).encode() if body is not None else None
        reply = await self._ask(method, path, data, _JSON)
        if (reply.status == 404 and missing_ok) or (reply.status == 422 and conflict_ok):
            return reply.status, {}
        if not 200 <= reply.status < 300:
            try:
                self._refuse(reply, f"{method} {path.partition('?')[0]}", "")
            except Permanent as error:
                raise SeriesUnavailable(str(error)) from None
        try:
            return reply.status, pydantic_core.from_json(reply.body) if reply.body.strip() else {}
        except ValueError:
            raise SeriesUnavailable(f"What answers at influxdb.url ({self.url}) is no InfluxDB 2.") from None

    async def health(self) -> str:
        """The version it says it has; empty if what answers is no InfluxDB. Raises SeriesUnavailable."""
        reply = await self._ask("GET", "/health", None, _JSON)
        try:
            said = json.loads(reply.body)
            return str(said["version"]) if said["name"] == "influxdb" else ""
        except (ValueError, KeyError, TypeError):
            return ""

    async def close(self) -> None:
        """Let go of the connections."""
        await self._exchange.close()

    # -- answers -----------------------------------------------------------------------------------

    async def _ask(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], timeout_s: float | None = None
    ) -> Reply:
        try:
            return await self._exchange.ask(
                method, self.url + path, headers={**self._headers, **headers}, body=body, limit=_ANSWER_BYTES, timeout_s=timeout_s
            )  # fmt: skip
        except NoAnswer as error:
            raise SeriesUnavailable(str(error)) from None

    def gone(self, bucket: str) -> SeriesUnavailable:
        """A bucket is not there."""
        return SeriesUnavailable(
            f"{self.name} has no bucket {bucket}, or the token may not see it; a running `iv3 up` makes what was deleted anew from the log."
        )

    def _refuse(self, reply: Reply, what: str, bucket: str) -> None:
        """Say what a status other than success means. Raises SeriesUnavailable or Permanent."""
        words, status = _words(reply), reply.status
        if status == 401:
            raise SeriesUnavailable(
                f"{self.name} does not know the token (401): influxdb.token is wrong or was deleted; set a valid one."
            )
        if status == 403:
            raise SeriesUnavailable(f"{self.name} does not let the token {what} (403, {words}): {_RIGHTS}.")
        if status == 404 and bucket:
            raise self.gone(bucket)
        if status == 422 and "field type conflict" in words:
            raise SeriesUnavailable(
                f"The bucket {bucket} holds what iv3 did not write ({words}); run `iv3 replay`, which makes a new one from the log."
            )
        if status == 422 and "retention" in words:
            raise SeriesUnavailable(
                f"The bucket {bucket} forgets ({words}); set its retention to never, or delete it, and it is made anew."
            )
        # A proxy has its own 400 and 413, which say nothing of the record: only InfluxDB's own words give one up.
        if "unable to parse" in words or (status == 422 and "too long" in words):
            raise Permanent(f"{self.name} refused to {what} ({status}): {words}")
        wait_s = reply.retry_after_s
        again = f" It asks to be left alone for {wait_s:.0f} s." if wait_s else ""
        raise SeriesUnavailable(f"{self.name} could not {what} ({status}, {words}).{again}", retry_after_s=wait_s)


_PACKED = "application/x-msgpack"  # the server writes it in two thirds of the time of JSON, and it is read in half; numbers keep their kind
_JSON = {"Content-Type": "application/json"}


def _bodies(lines: Sequence[str]) -> Iterator[bytes]:
    """The lines, in order, in bodies of a good size. One line that is larger goes alone."""
    start = size = 0
    for n, text in enumerate(lines):
        more = 4 * len(text) + 1 if not text.isascii() else len(text) + 1  # at most
        if n > start and (n - start >= MOST_LINES or size + more > MOST_BYTES):
            yield "\n".join(lines[start:n]).encode()
            start, size = n, 0
        size += more
    if start < len(lines):
        yield "\n".join(lines[start:]).encode()


def _words(reply: Reply) -> str:
    """The server's own, or what is known without them."""
    try:
        said = json.loads(reply.body)
        words = str(said.get("message") or said.get("error") or "")
    except (ValueError, AttributeError):
        words = ""
    return words[:_WORDS] or "without a reason"


def rfc3339(ns: int) -> str:
    """A moment to the nanosecond, as the delete request wants it."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{at_ms(seconds * 1000):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
