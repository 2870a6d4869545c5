"""A house of several people: they are added, seen and suspended while the real iv3 runs, from the command line, the API
and the page.
"""

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from iv3.verbs.simulate import people_of
from streams.adapters.simulation.town import PASSWORD, ShareTown
from tests.support.oracle import Phone

PEOPLE = 3


class House:
    """`iv3 up` in a folder of its own, beside a fake Share with three accounts and a phone."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.phone = folder, Phone()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.town = ShareTown(PEOPLE, now_ms=lambda: int(time.time() * 1000))
        self.share = asyncio.run_coroutine_threadsafe(self.town.start(), self._loop).result(10)
        first = people_of(1, self.share)[0] | {"name": "Lena"}
        config = {"people": [first], "ntfy": {"server": self.phone.server.url, "topic": "house"}, "api": {"port": 0}}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        (folder / "password").write_text(PASSWORD + "\n")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "up.log").open("ab") as out:
            command = [sys.executable, "-P", "-m", "iv3", "up"]
            self.process = subprocess.Popen(command, stdout=out, stderr=out, cwd=self.folder)
        self.until((self.folder / "data" / "run.json").exists, 30)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(10) == 0

    def until(self, true: Callable[[], bool], within_s: float = 60.0) -> None:
        deadline = time.monotonic() + within_s
        while not true():
            assert time.monotonic() < deadline, (self.folder / "up.log").read_text()[-3000:]
            time.sleep(0.05)

    def iv3(self, *arguments: str, rc: int = 0) -> str:
        command = [sys.executable, "-P", "-m", "iv3", *arguments]
        done = subprocess.run(command, check=False, cwd=self.folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == rc, done.stdout + done.stderr
        return done.stdout + done.stderr

    def add(self, person: str, *more: str, rc: int = 0) -> str:
        account = ("--dexcom-account", person, "--dexcom-url", self.share, "--password-file", "password")
        return self.iv3("person", "add", person, *account, *more, rc=rc)

    def url(self) -> str:
        return str(json.loads((self.folder / "data" / "run.json").read_text())["url"])

    def ask(self, path: str, token: str) -> tuple[int, Any]:
        request = urllib.request.Request(self.url() + path, headers={"Authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def polled(self) -> set[str]:
        return {account for account, _, _ in list(self.town.asked)}

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        asyncio.run_coroutine_threadsafe(self.town.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.phone.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


def test_a_person_is_added_seen_by_their_token_and_suspended_without_a_restart(house: House) -> None:
    house.start()
    house.until(lambda: house.polled() == {"p0001"})
    assert "is watched from now on" in house.add("p0002", "--name", "Max")
    house.until(lambda: house.polled() == {"p0001", "p0002"}, 10)
    nurse = house.iv3("token", "new", "--role", "reader", "--name", "Nurse", "--person", "p0002").split()[-1]
    house.until(lambda: house.ask("/v1/now", nurse)[1]["reading"] is not None)
    status, now = house.ask("/v1/now", nurse)
    assert (status, now["person"], now["name"], now["caller"]["people"]) == (200, "p0002", "Max", 1)
    house.until(lambda: len(house.ask("/v1/readings", nurse)[1]["items"]) > 280)
    assert house.ask("/v1/now?person=p0001", nurse)[0] == 403
    house.iv3("person", "suspend", "p0002")
    assert {row["person"]: row["watched"] for row in json.loads(house.iv3("person", "list", "--json"))} == {
        "p0001": True,
        "p0002": False,
    }
    house.stop()
    house.town.asked.clear()
    house.start()
    house.until(lambda: "p0001" in house.polled())
    time.sleep(1)
    assert house.polled() == {"p0001"}, "a suspension outlives a restart"
    house.iv3("person", "resume", "p0002")
    house.until(lambda: house.polled() == {"p0001", "p0002"}, 10)


@pytest.mark.long
def test_what_cannot_be_added_is_said_in_one_sentence_and_leaves_nothing(house: House) -> None:
    (house.folder / "wrong").write_text("wrong")
    (house.folder / "topic").write_text("two words/and a slash")
    refusals = {
        "same account": house.add("other", "--dexcom-account", "P0001", rc=2),
        "refused by Dexcom": house.iv3(
            "person",
            "add",
            "p0003",
            "--dexcom-account",
            "p0003",
            "--dexcom-url",
            house.share,
            "--password-file",
            "wrong",
            rc=2,
        ),
        "configured": house.add("p0001", rc=2),
        "no password": house.iv3("person", "add", "p0003", "--dexcom-account", "p0003", rc=2),
        "no region": house.iv3("person", "add", "p0003", "--dexcom-account", "x", "--dexcom-region", "eu", rc=2),
        "no address": house.iv3(
            "person",
            "add",
            "p0003",
            "--dexcom-account",
            "x",
            "--dexcom-url",
            "ftp://x",
            "--password-file",
            "password",
            "--no-try",
            rc=2,
        ),
        "no topic": house.iv3("person", "add", "p0003", "--topic-file", "topic", rc=2),
        "no id": house.iv3("person", "add", "p 3", rc=2),
        "no zone": house.iv3("person", "add", "p0003", "--zone", "Moon/Base", rc=2),
        "no unit": house.iv3("person", "add", "p0003", "--unit", "stones", rc=2),
        "unknown": house.iv3("person", "suspend", "nobody", rc=2),
    }
    for what, said in refusals.items():
        assert said.startswith("iv3: "), (what, said)
        assert len(said.splitlines()) == 1, (what, said)
        assert "wrong" not in said.replace("wrong password", "").replace("wrong)", ""), (what, said)
    assert not (house.folder / "data" / "credentials.enc").exists()
    assert [row["person"] for row in json.loads(house.iv3("person", "list", "--json"))] == ["p0001"]


@pytest.mark.long
def test_accounts_are_in_the_encrypted_file_and_nowhere_else(house: House) -> None:
    house.start()
    topic = house.add("p0002", "--name", "Max", "--own-phone").split()[-1]
    house.until(lambda: "p0002" in house.polled())
    house.iv3("backup", "--to", f"folder:{house.folder / 'archive'}")
    house.stop()
    held = [topic.encode(), b'"password"', b"dexcom_account"]
    for file in [*(house.folder / "data").rglob("*"), *(house.folder / "archive").rglob("*"), house.folder / "up.log"]:
        if file.is_file() and file.suffix != ".zst":
            assert not any(secret in file.read_bytes() for secret in held), file
    assert (house.folder / "data" / "credentials.enc").stat().st_mode & 0o077 == 0
    restored = house.folder / "elsewhere"
    house.iv3("restore", "--from", f"folder:{house.folder / 'archive'}", "--data", str(restored))
    rows = {row["person"]: row for row in json.loads(house.iv3("person", "list", "--json", "--data", str(restored)))}
    assert rows["p0002"]["readings"] == "uploads", (
        "a restored log has no accounts: the list says whose is to be entered"
    )
    assert "is watched" in house.add("p0002", "--data", str(restored))


@pytest.mark.long
def test_a_vault_that_cannot_be_opened_takes_nobody_elses_alarms_away_and_is_told(house: House) -> None:
    house.start()
    house.add("p0002")
    house.until(lambda: "p0002" in house.polled())
    owner = house.iv3("token", "new", "--role", "owner", "--name", "t").split()[-1]
    key = house.folder / "data" / "credentials.key"
    kept = key.read_bytes()
    key.write_bytes(b"x" * 64)
    assert "cannot be opened with this key" in house.add("p0003", rc=2)
    (house.folder / "data" / "credentials.enc").touch()
    house.until(lambda: "people stay as they were" in (house.folder / "up.log").read_text())
    house.stop()
    house.town.asked.clear()
    house.start()
    house.until(lambda: house.polled() == {"p0001"})
    bars = {bar["kind"]: bar["text"] for bar in house.ask("/v1/now?person=p0002", owner)[1]["bars"]}
    assert "cannot be opened with this key" in bars["people"]
    house.until(
        lambda: any("accounts of people" in (r.message.get("message") or "") for r in house.phone.server.received), 40
    )
    key.write_bytes(kept)
    (house.folder / "data" / "credentials.enc").touch()
    house.until(lambda: house.polled() == {"p0001", "p0002"})
    assert "people" not in {bar["kind"] for bar in house.ask("/v1/now?person=p0002", owner)[1]["bars"]}


@pytest.mark.long
def test_what_a_person_has_is_not_replaced_unasked_and_a_page_says_what_they_lack(house: House) -> None:
    house.start()
    house.add("p0002", "--name", "Max", "--own-phone")
    owner = house.iv3("token", "new", "--role", "owner", "--name", "t").split()[-1]
    assert "--replace-phone" in house.add("p0002", "--own-phone", rc=2)
    assert "accepted the test alarm" in house.iv3("test-alarm", "--person", "p0002")
    (topic,) = {r.message["topic"] for r in house.phone.server.received if r.message.get("priority") == 5}
    assert topic.startswith("iv3-")
    assert topic != "house"
    assert "called Max too" in house.iv3("person", "add", "anna", "--name", "Max")
    house.iv3("person", "add", "anna", "--name", "Anna", "--zone", "Europe/Berlin")
    house.until(lambda: house.ask("/v1/now?person=anna", owner)[1].get("name") == "Anna")
    assert house.ask("/v1/now?person=anna", owner)[1]["zone"] == "Europe/Berlin"
    house.iv3("person", "suspend", "p0002")
    house.until(lambda: "suspended" in {bar["kind"] for bar in house.ask("/v1/now?person=p0002", owner)[1]["bars"]})
    house.iv3("person", "resume", "p0002")
    house.until(lambda: "suspended" not in {bar["kind"] for bar in house.ask("/v1/now?person=p0002", owner)[1]["bars"]})
    house.until(lambda: house.ask("/v1/now?person=p0002", owner)[1]["reading"] is not None)
    house.stop()
    (house.folder / "data" / "credentials.enc").unlink()
    house.start()
    bars = {bar["kind"]: bar["text"] for bar in house.ask("/v1/now?person=p0002", owner)[1]["bars"]}
    assert "iv3 person add p0002" in bars["people"], "whose account was lost is not taken for somebody who uploads"


@pytest.mark.browser
@pytest.mark.xdist_group("real-page")
def test_the_page_offers_everybody_a_token_opens_and_logs_for_whom_it_shows(house: House) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    from tests.e2e.dashboard.kit import CHROMIUM, FLAGS

    house.start()
    house.add("p0002", "--name", "Max")
    house.until(lambda: house.polled() == {"p0001", "p0002"})
    owner = house.iv3("token", "new", "--role", "owner", "--name", "t").split()[-1]
    nurse = house.iv3("token", "new", "--role", "reader", "--name", "Nurse", "--person", "p0002").split()[-1]
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)

        def opened(token: str, path: str = "/") -> Any:
            context = browser.new_context(viewport={"width": 420, "height": 860})
            context.add_cookies([{"name": "iv3", "value": token, "url": house.url()}])
            page = context.new_page()
            page.goto(house.url() + path)
            page.wait_for_selector("body:not(.off-air)")
            return page

        page = opened(owner)
        page.wait_for_selector("#person select")
        names = page.eval_on_selector_all("#person option", "all => all.map(o => o.textContent)")
        assert [name.split(" · ")[0] for name in names] == ["Lena", "Max"]
        page.select_option("#person select", "p0002")
        page.wait_for_selector("#person select")
        page.click("[data-open]:visible")
        assert page.inner_text("#sheet h2") == "Log for Max"
        page.check("#sheet input[value=note]")
        page.fill("#sheet textarea", "for Max only")
        page.click("#sheet button.primary")
        page.wait_for_selector("#entries >> text=for Max only")
        for person, notes in (("p0001", []), ("p0002", ["for Max only"])):
            listed = house.ask(f"/v1/entries?person={person}", owner)[1]["items"]
            assert [entry["text"] for entry in listed] == notes
        alone = opened(nurse)
        alone.wait_for_function("document.querySelector('#person').textContent === 'Max'")
        assert alone.query_selector("#person select") is None
        browser.close()
