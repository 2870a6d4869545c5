"""The command line on a real data folder: rebuild it, lose everything but the archive, and get it back."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.up import Up

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A demo that ran for some hours of its own time, with an entry that was changed and one that was deleted, and was
    stopped.
    """
    folder = tmp_path_factory.mktemp("lived")
    up = Up(folder / "data", "--speed", "200")  # a reading is fresh for less than five seconds then
    up.start()
    for n in range(4):
        body = {"kind": "carbs", "grams": 10 + n, "time": up.ask("GET", "/v1/now")[1]["time_ms"] - n * 60_000}
        _, made = up.ask("POST", "/v1/entries", body, Idempotency_Key=f"k{n}")
        if n == 1:
            up.ask("PATCH", f"/v1/entries/{made['id']}", {"revision": 1, "grams": 44})
        if n == 2:
            up.ask("DELETE", f"/v1/entries/{made['id']}")
    time.sleep(6)
    deadline = time.monotonic() + 300  # its low comes within minutes of its time, and on a busy machine later
    while not up.ask("GET", "/v1/alerts")[1]["items"]:
        assert time.monotonic() < deadline, up.said()
        time.sleep(0.5)
    up.stop()
    yield up
    up.kill()


def digest(up: Up, data: Path) -> list[Any]:
    rows: list[Any] = json.loads(up.iv3("digest", "--data", str(data), "--json"))
    return rows


def test_backup_then_nothing_left_then_restore_and_replay_give_the_same_digest(lived: Up, tmp_path: Path) -> None:
    data, archive = tmp_path / "data", f"folder:{tmp_path / 'archive'}"
    shutil.copytree(lived.data, data, ignore=shutil.ignore_patterns("*.wake", "*.lock"))
    lived.iv3("replay", "--data", str(data))
    before = digest(lived, data)
    assert {row["kind"] for row in before} == {"readings", "entries", "forecasts", "alerts"}
    assert sum(row["rows"] for row in before if row["kind"] == "readings") > 4_000
    told = json.loads(lived.iv3("backup", "--to", archive, "--data", str(data), "--json"))
    again = json.loads(lived.iv3("backup", "--to", archive, "--data", str(data), "--json"))
    assert told != again, "the second has nothing left to do"
    lived.iv3("verify", "--from", archive)
    shutil.rmtree(data)
    lived.iv3("restore", "--from", archive, "--data", str(data))
    lived.iv3("replay", "--data", str(data))
    assert digest(lived, data) == before
    lived.iv3("restore", "--from", archive, "--data", str(data), code=2)


def test_a_damaged_archive_is_named_and_restores_nothing(lived: Up, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    lived.iv3("backup", "--to", f"folder:{archive}", "--data", str(lived.data))
    victim = min(archive.rglob("*.zst"))
    body = bytearray(victim.read_bytes())
    body[len(body) // 2] ^= 1
    victim.chmod(0o600)
    victim.write_bytes(bytes(body))
    lived.iv3("verify", "--from", f"folder:{archive}", code=1)
    lived.iv3("restore", "--from", f"folder:{archive}", "--data", str(tmp_path / "new"), code=1)
    assert not (tmp_path / "new" / "log.db").exists()


def test_topics_dead_letters_and_tokens_are_listed(lived: Up) -> None:
    data = ("--data", str(lived.data), "--json")
    topics = json.loads(lived.iv3("topics", *data))
    assert "iv3.journal" in json.dumps(topics)
    assert json.loads(lived.iv3("dead-letters", "list", *data)) == []
    lived.iv3("dead-letters", "retry", "iv3.journal/0/0", "--data", str(lived.data), code=2)
    lived.iv3("token", "new", "--role", "king", "--name", "x", "--data", str(lived.data), code=2)
    made = lived.iv3("token", "new", "--role", "reader", "--name", "Gran", "--data", str(lived.data)).split()[-1]
    listed = json.loads(lived.iv3("token", "list", *data))
    gran = next(token for token in listed if token["name"] == "Gran")
    assert made not in json.dumps(listed), "a token is shown once and kept nowhere"
    lived.iv3("token", "revoke", gran.get("id") or gran["token_id"], "--data", str(lived.data))
    assert "revoked" in json.dumps(json.loads(lived.iv3("token", "list", *data)))


def test_bench_measures_on_the_disk_of_the_log_and_leaves_nothing_behind(lived: Up) -> None:
    before = set(lived.data.iterdir())
    figures = json.loads(lived.iv3("bench", "--data", str(lived.data), "--json"))
    assert all(value > 0 for value in figures.values())
    assert set(lived.data.iterdir()) == before
