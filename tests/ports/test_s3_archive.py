"""The archive in a bucket, on a real server: what it leaves alone, how it finds the bucket, what it says when the
bucket cannot be used.
"""

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from schemas.settings import S3Settings
from streams.adapters.archives.s3.answers import sentence
from streams.adapters.archives.s3.archive import S3Archive
from streams.adapters.archives.s3.client import Patience
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.archive.verify import read_back
from streams.archive.writer import ArchiveWriter
from streams.clock import SystemClock
from streams.errors import ArchiveUnavailable
from streams.topics import JOURNAL
from tests.servers.s3 import KEY, SECRET, Bucket, S3Server
from tests.servers.s3_faults import Fault, S3Faults

QUICK = Patience(connect_s=1.0, read_s=1.0, attempts=2, whole_s=5.0)


@pytest.fixture
async def proxy(s3: Bucket) -> AsyncIterator[S3Faults]:
    async with S3Faults(s3.server.port) as between:
        yield between


async def test_what_else_lies_in_the_bucket_is_neither_seen_nor_touched(s3: Bucket) -> None:
    client = s3.server.client()
    for key in ("2023-06-01T08-05.tar.gz", "iv3.tar.gz", "v1/theirs", "iv3-other/v1/x"):
        client.put_object(Bucket=s3.name, Key=key, Body=b"a backup of the seed's")
    archive = S3Archive(s3.settings())
    await archive.put_if_absent("v1/a", b"ours")
    assert await archive.list("") == ["probe/condition", "v1/a"]
    for key in await archive.list(""):
        await archive.delete(key)
    left = [item["Key"] for item in client.list_objects_v2(Bucket=s3.name)["Contents"]]
    assert sorted(left) == ["2023-06-01T08-05.tar.gz", "iv3-other/v1/x", "iv3.tar.gz", "v1/theirs"]


@pytest.mark.parametrize(("prefix", "place"), [("iv3", "iv3/"), ("a/b/", "a/b/"), ("", "")])
async def test_the_prefix_says_where_the_archive_lies(s3: Bucket, prefix: str, place: str) -> None:
    archive = S3Archive(s3.settings(prefix=prefix))
    await archive.put_if_absent("v1/x", b"1")
    assert (s3.server.objects / s3.name / f"{place}v1" / "x").read_bytes() == b"1"
    assert await archive.list("v1/") == ["v1/x"]


async def test_a_list_goes_on_over_its_pages(s3: Bucket) -> None:
    folder = s3.file("v1/many")
    folder.mkdir(parents=True)
    for n in range(2_300):
        (folder / f"{n:05d}").write_bytes(b"")
    (folder / "made-by-a-tool").mkdir()
    keys = await S3Archive(s3.settings()).list("v1/many/")
    assert keys == [f"v1/many/{n:05d}" for n in range(2_300)]


async def test_objects_in_a_bucket_and_in_a_folder_are_the_same_bytes(
    s3: Bucket, log: SqliteLog, tmp_path: Path
) -> None:
    from streams.adapters.archives.folder import FolderArchive

    await log.append(JOURNAL, "me", [b"one", b"\xff"])
    for archive in (FolderArchive(tmp_path / "archive"), S3Archive(s3.settings())):
        await ArchiveWriter(log, archive, SystemClock()).catch_up()
    for key in await FolderArchive(tmp_path / "archive").list("v1/"):
        if not key.endswith("head.json"):
            assert s3.file(key).read_bytes() == (tmp_path / "archive" / key).read_bytes()


# -- finding the bucket ----------------------------------------------------------------------------


async def test_the_bucket_is_named_in_front_of_the_host_or_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: Bucket
) -> None:
    server = S3Server(tmp_path / "by-name", domain="s3.test")
    server.start()
    asked: list[str] = []
    real = socket.getaddrinfo

    def resolve(host: Any, *rest: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        asked.append(name)
        return real("127.0.0.1" if str(name).endswith("s3.test") else name, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    try:
        bucket = server.bucket()
        for path_style, host in ((False, f"{bucket.name}.s3.test"), (True, "s3.test")):
            asked.clear()
            archive = S3Archive(bucket.settings(endpoint=f"http://s3.test:{server.port}", path_style=path_style))
            await archive.replace("v1/x", b"%d" % path_style)
            assert await archive.get("v1/x") == b"%d" % path_style
            assert set(asked) == {host}
    finally:
        server.stop()


def test_an_address_without_a_scheme_means_tls() -> None:
    assert S3Settings(endpoint="nyc3.digitaloceanspaces.com").endpoint == "https://nyc3.digitaloceanspaces.com"
    with pytest.raises(ValueError, match="must begin with"):
        S3Settings(endpoint="ftp://x")


async def test_what_this_machine_knows_for_other_programs_does_not_matter(
    s3: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "aws").write_text("[default]\nendpoint_url = http://127.0.0.1:1\nregion = mars\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws"))
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    assert await S3Archive(s3.settings()).put_if_absent("v1/x", b"1")


# -- put if absent ---------------------------------------------------------------------------------


def forget_conditions(archive: S3Archive) -> None:
    """As a server that never heard of the header: it is taken away before it is signed."""

    def strip(request: Any, **_: Any) -> None:
        del request.headers["If-None-Match"]

    archive.client().meta.events.register("before-sign.s3.PutObject", strip)


async def test_a_server_that_ignores_the_condition_is_noticed_and_nothing_is_overwritten(s3: Bucket) -> None:
    assert await S3Archive(s3.settings()).is_conditional()
    archive = S3Archive(s3.settings())
    forget_conditions(archive)
    assert not await archive.is_conditional()
    assert await archive.put_if_absent("v1/a", b"one")
    assert not await archive.put_if_absent("v1/a", b"two")
    assert await archive.get("v1/a") == b"one"


async def test_a_server_that_refuses_the_condition_is_noticed(s3: Bucket, proxy: S3Faults) -> None:
    archive = S3Archive(s3.settings(endpoint=proxy.endpoint), QUICK)
    proxy.fault = Fault(answer=(501, b"<Error><Code>NotImplemented</Code></Error>"))
    assert not await archive.is_conditional()
    proxy.fault = Fault()
    assert await archive.put_if_absent("v1/a", b"one")
    assert not await archive.put_if_absent("v1/a", b"two")


async def test_a_writer_without_conditions_makes_a_whole_archive(s3: Bucket, log: SqliteLog) -> None:
    archive = S3Archive(s3.settings())
    forget_conditions(archive)
    for n in range(3):
        await log.append(JOURNAL, "me", [b"%d" % n])
        await ArchiveWriter(log, archive, SystemClock()).catch_up()
    report = await read_back(archive, log.log_id)
    assert (report.problems, report.records) == ([], 3)


async def test_a_put_whose_answer_was_lost_is_ours_if_it_is_equal(s3: Bucket, proxy: S3Faults) -> None:
    archive = S3Archive(s3.settings(endpoint=proxy.endpoint), QUICK)
    await archive.is_conditional()
    proxy.requests.clear()
    proxy.fault = Fault(lost_answers=1)
    assert await archive.put_if_absent("v1/a", b"one")
    assert [request.split()[0] for request in proxy.requests] == ["PUT", "PUT", "GET"]
    proxy.fault = Fault(lost_answers=1)
    assert not await archive.put_if_absent("v1/a", b"another's")
    assert await archive.get("v1/a") == b"one"


async def test_a_put_that_failed_for_good_and_still_arrived_is_adopted(
    s3: Bucket, proxy: S3Faults, log: SqliteLog
) -> None:
    archive = S3Archive(s3.settings(endpoint=proxy.endpoint), QUICK)
    writer = ArchiveWriter(log, archive, SystemClock())
    await writer.catch_up()
    await log.append(JOURNAL, "me", [b"one"])
    for _ in range(3):  # segment, manifest, head
        proxy.fault = Fault(lost_answers=2)
        with pytest.raises(ArchiveUnavailable, match="broke off"):
            await writer.catch_up()
    await log.append(JOURNAL, "me", [b"two"])
    proxy.fault = Fault()
    await writer.catch_up()
    report = await read_back(archive, log.log_id)
    assert (report.problems, report.records) == ([], 2)


# -- what it says ----------------------------------------------------------------------------------


async def says(archive: S3Archive, *parts: str) -> str:
    """The sentence of each operation; it must hold these words and no secret."""
    said = ""
    for call in (archive.list("v1/"), archive.get("v1/x"), archive.put_if_absent("v1/x", b""), archive.delete("v1/x")):
        with pytest.raises(ArchiveUnavailable) as caught:
            await call
        said = str(caught.value)
        assert all(part in said for part in parts), said
        assert "\n" not in said
        assert len(said) < 300
        for secret in (SECRET, "Signature=", "AWS4-HMAC", KEY):
            # What a traceback would print: the cause, or where `from` said nothing, what was being handled.
            shown = caught.value.__cause__ or (None if caught.value.__suppress_context__ else caught.value.__context__)
            assert secret not in f"{said}{shown!r}{archive!r}"
    return said


async def test_a_key_that_nobody_knows(s3: Bucket) -> None:
    await says(S3Archive(s3.settings(key="nobody"), QUICK), "s3.key", "does not know")


async def test_a_secret_that_is_another_keys(s3: Bucket) -> None:
    archive = S3Archive(s3.settings(secret=SecretStr("another-secret")), QUICK)
    assert "another-secret" not in await says(archive, "s3.secret", "does not belong")


async def test_a_bucket_that_is_not_there(s3: Bucket) -> None:
    await says(S3Archive(s3.settings(bucket="not-there"), QUICK), "s3.bucket", "no bucket 'not-there'")


async def test_a_name_that_no_bucket_has(s3: Bucket) -> None:
    await says(S3Archive(s3.settings(bucket="Not A Name"), QUICK), "s3.bucket", "no name of a bucket")


async def test_a_host_that_is_not_there(s3: Bucket) -> None:
    await says(S3Archive(s3.settings(endpoint="https://s3.nowhere.invalid"), QUICK), "s3.endpoint", "can be found")


async def test_a_port_where_nobody_listens(s3: Bucket) -> None:
    await says(S3Archive(s3.settings(endpoint="http://127.0.0.1:9"), QUICK), "s3.endpoint", "refuses connections")


async def test_tls_where_none_is_spoken(s3: Bucket) -> None:
    endpoint = s3.server.endpoint.replace("http", "https")
    await says(S3Archive(s3.settings(endpoint=endpoint), QUICK), "s3.endpoint", "does not speak TLS")


async def test_a_certificate_that_nobody_vouches_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: Bucket
) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            str(key),
            "-out",
            str(cert),
        ],
        check=True,
        capture_output=True,
    )
    server = S3Server(tmp_path / "tls", cert=cert, key=key)
    server.start()
    try:
        (server.objects / "mine").mkdir()
        settings = S3Settings(endpoint=server.endpoint, bucket="mine", key=KEY, secret=SecretStr(SECRET))
        await says(S3Archive(settings, QUICK), "s3.endpoint", "AWS_CA_BUNDLE")
        monkeypatch.setenv("AWS_CA_BUNDLE", str(cert))
        assert await S3Archive(settings, QUICK).get("v1/x") is None
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("status", "xml", "words"),
    [
        (503, "<Code>SlowDown</Code>", ("answered 503 (SlowDown)", "tried again")),
        (500, "<Code>InternalError</Code>", ("answered 500", "tried again")),
        (403, "<Code>AccessDenied</Code>", ("s3.key", "give it the right")),
        (403, "<Code>RequestTimeTooSkewed</Code>", ("clock", "timedatectl")),
        (
            400,
            "<Code>AuthorizationHeaderMalformed</Code><Region>eu-central-1</Region>",
            ("set s3.region to eu-central-1",),
        ),
        (301, "<Code>PermanentRedirect</Code><Endpoint>x.example</Endpoint>", ("s3.region", "s3.endpoint to match")),
        (507, "<Code>QuotaExceeded</Code>", ("full",)),
        (418, "<Code>Teapot</Code>", ("answered 418 (Teapot)", "s3.endpoint")),
    ],
)
async def test_what_a_server_answers_is_said_in_a_sentence(
    s3: Bucket, proxy: S3Faults, status: int, xml: str, words: tuple[str, ...]
) -> None:
    proxy.fault = Fault(answer=(status, f"<Error>{xml}<Message>{SECRET}</Message></Error>".encode()))
    await says(S3Archive(s3.settings(endpoint=proxy.endpoint), QUICK), *words)


async def test_a_server_that_is_none(s3: Bucket, proxy: S3Faults) -> None:
    proxy.fault = Fault(answer=(200, b"<html><body>Sign in to this network"))
    archive = S3Archive(s3.settings(endpoint=proxy.endpoint), QUICK)
    with pytest.raises(ArchiveUnavailable, match=r"s3\.endpoint"):
        await archive.list("v1/")


async def test_a_silent_server_costs_a_bounded_time_and_a_stop_none(s3: Bucket, proxy: S3Faults) -> None:
    proxy.fault = Fault(silent=True)
    archive = S3Archive(s3.settings(endpoint=proxy.endpoint), QUICK)
    with pytest.raises(ArchiveUnavailable, match="did not answer in time"):
        await archive.list("v1/")
    waits = asyncio.ensure_future(archive.list("v1/"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(archive.get("v1/x"), 0.1)
    assert not waits.done(), "who stops is gone before the server's time is up"
    with pytest.raises(ArchiveUnavailable):
        await waits


def test_a_call_that_hangs_does_not_hold_up_the_end_of_the_process(s3: Bucket) -> None:
    code = (
        "import asyncio\nfrom schemas.settings import S3Settings\nfrom "
        "streams.adapters.archives.s3.archive import S3Archive\n"
        "async def main():\n"
        f"    archive = S3Archive(S3Settings(endpoint={s3.server.endpoint!r}, bucket='x', key='k', secret='s'))\n"
        "    archive.client()\n"
        "    try: await asyncio.wait_for(archive.list(''), 0.5)\n"
        "    except TimeoutError: print('left')\n"
        "asyncio.run(main())\n"
    )
    import sys

    s3.server.freeze()
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
        assert done.stdout == "left\n", "the process ended while the server was frozen"
    finally:
        s3.server.thaw()


async def test_a_slow_answer_is_waited_for_and_a_cut_one_is_asked_for_again(s3: Bucket, proxy: S3Faults) -> None:
    archive = S3Archive(s3.settings(endpoint=proxy.endpoint), QUICK)
    await archive.replace("v1/x", b"x" * 2_000)
    proxy.fault = Fault(delay_s=0.3, bytes_per_s=4_000)
    assert await archive.get("v1/x") == b"x" * 2_000
    proxy.fault = Fault(cut_answers=1)
    with pytest.raises(ArchiveUnavailable, match="broke off"):
        await archive.get("v1/x")


def test_no_error_of_the_library_is_without_a_sentence() -> None:
    from botocore import exceptions

    s3 = S3Settings(endpoint="https://s3.example", bucket="b")
    made = [
        exceptions.EndpointConnectionError(endpoint_url="u", error=None),
        exceptions.ConnectTimeoutError(endpoint_url="u"),
        exceptions.ReadTimeoutError(endpoint_url="u"),
        exceptions.ConnectionClosedError(endpoint_url="u"),
        exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2),
        exceptions.ProxyConnectionError(proxy_url="http://user:pass@proxy"),
        exceptions.HTTPClientError(error="x"),
    ]
    for error in made:
        said = sentence(error, "read an object", s3)
        assert "s3.example" in said
        assert "pass" not in said


# -- who else can look in --------------------------------------------------------------------------


def policy(bucket: str, *actions: str) -> str:
    import json

    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": list(actions),
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


async def test_a_private_bucket_is_known_as_one(s3: Bucket) -> None:
    seen = await S3Archive(s3.settings()).exposure()
    assert (seen.conditional, seen.versioning, seen.open_to) == (True, False, ())


@pytest.mark.parametrize(
    ("actions", "word"), [(("s3:GetObject",), "read its objects"), (("s3:ListBucket",), "list it without a key")]
)
async def test_a_bucket_that_strangers_can_look_into_is_told(s3: Bucket, actions: tuple[str, ...], word: str) -> None:
    s3.server.client().put_bucket_policy(Bucket=s3.name, Policy=policy(s3.name, *actions))
    seen = await S3Archive(s3.settings()).exposure()
    assert any(word in said for said in seen.open_to), seen.open_to
    assert "its policy makes it public" in seen.open_to


async def test_versioning_is_told_and_a_versioned_bucket_works(s3: Bucket) -> None:
    s3.server.client().put_bucket_versioning(Bucket=s3.name, VersioningConfiguration={"Status": "Enabled"})
    archive = S3Archive(s3.settings())
    assert (await archive.exposure()).versioning is True
    assert await archive.put_if_absent("v1/a", b"1")
    await archive.delete("v1/a")
    assert await archive.list("v1/") == []
    assert await archive.get("v1/a") is None
