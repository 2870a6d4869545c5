"""The archive in a bucket: the same objects as in a folder, on any server that speaks S3."""

import hashlib
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from schemas.settings import S3Settings
from streams.adapters.archives.keys import checked
from streams.adapters.archives.s3.answers import code_of, sentence, status_of
from streams.adapters.archives.s3.calls import Calls
from streams.adapters.archives.s3.client import AT_ONCE, PROBE, Client, Patience, make_client
from streams.adapters.archives.s3.exposure import open_to, versioning_of
from streams.errors import ArchiveUnavailable
from streams.ports.archive import Exposure

_T = TypeVar("_T")
MOST_BYTES = 512 * 1024 * 1024  # what is larger is none of our objects, and would not fit into memory
_DIGEST = "iv3-sha256"
_PROBED = b"iv3 looks here whether this server can put only if absent\n"
_CONFLICT_PAUSES_S = (0.05, 0.2, 0.8)  # Amazon answers 409 while another conditional put of the key is under way
# How servers that know no condition answer one.
_NOT_KNOWN = {"NotImplemented", "MethodNotAllowed", "InvalidArgument", "InvalidRequest"}


class S3Archive:
    """The `Archive` port on a bucket. Every call raises ArchiveUnavailable in one sentence that says which setting,
    what was answered and what to try; ValueError for a key that is none. No secret is in any of them.
    """

    def __init__(self, s3: S3Settings, patience: Patience | None = None) -> None:
        self.settings, self._patience = s3, patience or Patience()
        self.prefix = f"{s3.prefix.strip('/')}/" if s3.prefix.strip("/") else ""
        self._calls = Calls(AT_ONCE, "s3")
        self._made = threading.Lock()
        self._client: Client = None
        self._conditional: bool | None = None  # not asked yet

    def __repr__(self) -> str:
        return f"s3:{self.settings.bucket}/{self.prefix}"

    # -- the port ----------------------------------------------------------------------------------

    async def put_if_absent(self, key: str, data: bytes) -> bool:
        """See `Archive`. After a reply that was lost, an object that is there and equal is the one that was put."""
        return await self.call("store an object", partial(self._put_if_absent, name=self._name(key), data=data))

    async def replace(self, key: str, data: bytes) -> None:
        """See `Archive`."""
        await self.call("store an object", partial(self._put, name=self._name(key), data=data))

    async def get(self, key: str) -> bytes | None:
        """See `Archive`."""
        return await self.call("read an object", partial(self._get, name=self._name(key)))

    async def list(self, prefix: str) -> list[str]:
        """See `Archive`."""

        def pages(client: Client) -> list[str]:
            listed = client.get_paginator("list_objects_v2")
            found = listed.paginate(Bucket=self.settings.bucket, Prefix=self.prefix + prefix).build_full_result()
            keys = (item["Key"].removeprefix(self.prefix) for item in found.get("Contents", ()))
            # Some tools make objects that stand for folders.
            return sorted(key for key in keys if not key.endswith("/"))

        return await self.call("list objects", pages)

    async def delete(self, key: str) -> None:
        """See `Archive`."""
        await self.call("delete an object", partial(self._delete, name=self._name(key)))

    async def sweep(self, prefix: str) -> None:
        """See `Archive`: a server shows no object before it is whole."""

    async def exposure(self) -> Exposure | None:
        """See `Archive`. Asks with the key and without."""
        conditional = await self.is_conditional()  # its probe is what a stranger then tries to read
        bucket, probe = self.settings.bucket, self.prefix + PROBE
        versioning = await self.call("say whether it keeps versions", lambda client: versioning_of(client, bucket))
        found = await self.call("say who may look in", lambda client: open_to(client, self.settings, probe))
        return Exposure(conditional, versioning, tuple(found))

    # -- beside the port ---------------------------------------------------------------------------

    async def is_conditional(self) -> bool:
        """Whether the server knows "put only if absent". Where it does not, two writers at the same moment could
        overwrite each other.
        """
        return await self.call("store an object", self._knows_conditions)

    async def call(self, doing: str, work: Callable[[Client], _T]) -> _T:
        """Run `work` with the client in one of the few threads. Raises ArchiveUnavailable."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return await self._calls.run(lambda: work(self.client()), self._patience.whole_s)
        except TimeoutError:
            raise ArchiveUnavailable(
                f"the archive's server did not answer within {self._patience.whole_s:.0f} s when asked to {doing}; "
                "it is tried again. If it lasts, look at s3.endpoint and the way there."
            ) from None
        except (BotoCoreError, ClientError, OSError, ValueError, RecursionError) as error:
            # The library's own error would say what was signed: only our sentence goes on.
            raise ArchiveUnavailable(sentence(error, doing, self.settings)) from None

    def client(self) -> Client:
        """The client, made at the first call: loading boto3 takes most of a second."""
        with self._made:
            if self._client is None:
                self._client = make_client(self.settings, self._patience)
            return self._client

    def _name(self, key: str) -> str:
        return self.prefix + checked(key)

    # -- in a thread -------------------------------------------------------------------------------

    def _put(self, client: Client, name: str, data: bytes, **more: str) -> None:
        digest = {_DIGEST: hashlib.sha256(data).hexdigest()}
        client.put_object(Bucket=self.settings.bucket, Key=name, Body=data, Metadata=digest, **more)

    def _put_if_absent(self, client: Client, name: str, data: bytes) -> bool:
        if not self._knows_conditions(client):
            return self._put_after_a_look(client, name, data)
        for pause_s in (*_CONFLICT_PAUSES_S, None):
            try:
                self._put(client, name, data, IfNoneMatch="*")
            except Exception as error:
                status = status_of(error)
                if status == 412:
                    # The library may have tried before: that put can have arrived although its reply did not.
                    tried = error.response["ResponseMetadata"].get("RetryAttempts", 0)  # type: ignore[attr-defined] # it is a ClientError
                    return bool(tried) and self._get(client, name) == data
                if status != 409 or pause_s is None:
                    raise
                time.sleep(pause_s)
            else:
                return True
        raise RuntimeError("not reached: the last round returns or raises")

    def _put_after_a_look(self, client: Client, name: str, data: bytes) -> bool:
        """Where the server knows no condition: look, put, and see whose object is there."""
        try:
            client.head_object(Bucket=self.settings.bucket, Key=name)
        except Exception as error:
            if status_of(error) != 404:
                raise
        else:
            return False
        self._put(client, name, data)
        return self._get(client, name) == data

    def _knows_conditions(self, client: Client) -> bool:
        if self._conditional is None:
            self._conditional = self._try_a_condition(client)
        return self._conditional

    def _try_a_condition(self, client: Client) -> bool:
        for _ in range(2):  # the first makes the object where there is none yet, the second must be refused
            try:
                self._put(client, self.prefix + PROBE, _PROBED, IfNoneMatch="*")
            except Exception as error:
                if status_of(error) in (409, 412):
                    return True
                if status_of(error) == 501 or code_of(error) in _NOT_KNOWN:
                    return False
                raise
        return False

    def _delete(self, client: Client, name: str) -> None:
        try:
            client.delete_object(Bucket=self.settings.bucket, Key=name)
        except Exception as error:
            # Amazon answers 204 for what is not there; other servers say so, when another deleted it just now.
            if code_of(error) != "NoSuchKey":
                raise

    def _get(self, client: Client, name: str) -> bytes | None:
        try:
            reply = client.get_object(Bucket=self.settings.bucket, Key=name)
        except Exception as error:
            if code_of(error) in ("NoSuchKey", "404"):
                return None
            raise
        body = reply["Body"]
        try:
            if reply["ContentLength"] > MOST_BYTES:
                raise OSError(f"{name} is larger than any object of an archive")
            data: bytes = body.read()  # raises where less came than was announced
            return data
        finally:
            body.close()
