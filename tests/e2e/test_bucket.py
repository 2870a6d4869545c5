"""The whole of iv3 with its archive in a bucket, configured as the Go iv3 was: kept up, looked at, merged, tried, lost
and restored.
"""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from processors.archive.compaction import DAY_MS
from processors.archive.format import ArchivedRecord
from streams.adapters.archives.s3.archive import S3Archive
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.archive.writer import ArchiveWriter
from streams.clock import SystemClock
from streams.topics import JOURNAL, partition_of
from tests.servers.s3 import KEY, SECRET, Bucket
from tests.support.command_line import iv3
from tests.support.outside import Outside
from tests.support.up import Up

pytestmark = pytest.mark.long


@pytest.fixture
def outside() -> Iterator[Outside]:
    made = Outside()
    yield made
    made.close()


def configured(folder: Path, s3: Bucket, outside: Outside | None = None, **more: Any) -> None:
    said = {"endpoint": s3.server.endpoint, "bucket": s3.name, "key": KEY, "secret": SECRET, **more.pop("bucket", {})}
    rest = "".join(f"{key}: {value}\n" for key, value in more.items())
    world = (
        f"dexcom: {{account: demo, password: demo, url: '{outside.share.url}'}}\n"
        f"ntfy: {{server: '{outside.phone.url}', topic: alarms}}\n"
        if outside is not None
        else ""
    )
    (folder / "config.yaml").write_text(f"{world}s3: {json.dumps(said)}\narchive: s3\napi: {{port: 0}}\n{rest}")
    (folder / "config.yaml").chmod(0o600)


def said_by(folder: Path, *arguments: str, code: int = 0) -> Any:
    done = iv3(folder, *arguments, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr
    return json.loads(done.stdout)


def findings(folder: Path, code: int = 0) -> dict[str, Any]:
    return {found["name"]: found for found in said_by(folder, "doctor", code=code)}


def test_everything_is_in_the_bucket_within_a_minute_and_comes_back_from_it(
    s3: Bucket, outside: Outside, tmp_path: Path
) -> None:
    configured(tmp_path, s3, outside)
    up = Up(tmp_path / "data", "--config", str(tmp_path / "config.yaml"), demo=False)
    up.start()
    try:
        assert up.process is not None
        deadline = time.monotonic() + 60
        while not list(s3.file("v1").rglob("head.json")):
            assert time.monotonic() < deadline, up.said()
            time.sleep(0.2)
        _, now = up.ask("GET", "/v1/now")
        lines = {line["key"]: line for line in now["health"]}
        assert lines["Archive"]["ok"]
        assert lines["Restore"]["value"] == "not tried yet"
        up.ask("POST", "/v1/entries", {"kind": "carbs", "grams": 21, "time": now["time_ms"]}, Idempotency_Key="k")
        children = Path(f"/proc/{up.process.pid}/task/{up.process.pid}/children").read_text().split()
        for pid in [up.process.pid, *children]:
            assert SECRET not in Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    finally:
        up.stop()
    assert SECRET not in up.said()
    said_by(tmp_path, "backup", "--to", "s3")
    report = said_by(tmp_path, "verify", "--from", "s3")
    assert report["problems"] == []
    assert report["records"] > 288
    drilled = said_by(tmp_path, "archive", "drill")
    assert (drilled["problem"], drilled["records"], drilled["not_archived"]) == ("", report["records"], 0)
    found = findings(tmp_path)
    assert "was as the log has it" in found["archive-drill"]["message"]
    before = said_by(tmp_path, "digest")
    shutil.rmtree(tmp_path / "data")
    restored = said_by(tmp_path, "restore", "--from", "s3")
    assert restored["records"] == report["records"]
    iv3(tmp_path, "replay")
    assert said_by(tmp_path, "digest") == before


def test_the_doctor_looks_at_the_bucket(s3: Bucket, tmp_path: Path) -> None:
    configured(tmp_path, s3)
    found = findings(tmp_path, 1)  # no phone is set up
    wanted = ("archive-unreachable", "archive-public", "archive-conditions", "archive-versioning", "archive-drill")
    assert all(found[name]["ok"] for name in wanted)
    assert "no-archive" not in found
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{s3.name}/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    s3.server.client().put_bucket_policy(Bucket=s3.name, Policy=policy)
    assert "anybody can read its objects" in findings(tmp_path, 1)["archive-public"]["message"]
    configured(tmp_path, s3, bucket={"secret": "another"})
    told = findings(tmp_path, 1)["archive-unreachable"]
    assert not told["ok"]
    assert "s3.secret does not belong to s3.key" in told["message"]
    configured(tmp_path, s3, bucket={"bucket": "nowhere-to-be-found"})
    assert "there is no bucket" in findings(tmp_path, 1)["archive-unreachable"]["message"]


def test_a_bucket_that_is_away_is_one_sentence_and_exit_1(s3: Bucket, tmp_path: Path) -> None:
    configured(tmp_path, s3, bucket={"endpoint": "http://127.0.0.1:9"})
    SqliteLog(tmp_path / "data" / "log.db").close_now()
    for verb in (("verify",), ("backup",), ("archive", "merge"), ("archive", "drill"), ("restore", "--data", "new")):
        done = iv3(tmp_path, *verb)
        assert done.returncode == 1, done.stderr
        assert "refuses connections" in done.stderr
        assert "Traceback" not in done.stderr
    (tmp_path / "config.yaml").write_text("")
    done = iv3(tmp_path, "verify", "--from", "s3")
    assert (done.returncode, "s3.bucket" in done.stderr) == (2, True)


async def test_days_are_merged_and_earlier_logs_pruned_from_the_command_line(s3: Bucket, tmp_path: Path) -> None:
    configured(tmp_path, s3, archive_keep_days=30)
    log, archive = SqliteLog(tmp_path / "data" / "log.db"), S3Archive(s3.settings())
    old = int(time.time() * 1000) - 400 * DAY_MS
    clock = SystemClock(wall_ns=lambda: old * 1_000_000)
    for n in range(3):
        record = ArchivedRecord(n, old // DAY_MS * DAY_MS + n, b"me", b"{}")
        await log.append_as_was(JOURNAL, partition_of("me"), [record])
        await ArchiveWriter(log, archive, clock).catch_up()
    await log.close()
    merged = said_by(tmp_path, "archive", "merge")
    assert (merged["days"], merged["merged"], merged["problems"]) == (1, 3, [])
    said_by(tmp_path, "restore", "--data", "new")
    said_by(tmp_path, "backup", "--data", "new")
    dry = said_by(tmp_path, "archive", "prune", "--dry-run", "--data", "new")
    assert (dry["removed_objects"], [e["log_id"] for e in dry["earlier"]]) == (0, [log.log_id])
    assert dry["earlier"][0]["kept_because"] == ""
    before = await archive.list("v1/")
    words = iv3(tmp_path, "archive", "prune", "--dry-run", "--data", "new").stdout
    assert "would be removed: 3 objects" in words
    assert await archive.list("v1/") == before
    assert said_by(tmp_path, "archive", "prune", "--data", "new")["removed_objects"] == 3
    assert not [key for key in await archive.list("v1/") if log.log_id in key]
    assert said_by(tmp_path, "verify")["problems"] == []
    configured(tmp_path, s3)
    done = iv3(tmp_path, "archive", "prune")
    assert (done.returncode, "archive_keep_days is not set" in done.stderr) == (2, True)
