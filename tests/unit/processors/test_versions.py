"""A fold's VERSION: whoever changes the form of a state, or a constant of the fold, gives it another one, so that no
old snapshot is taken up.

The digests stand in fixtures/versions.json beside the VERSION they belong to. `IV3_TEST_WRITE_DIGESTS=1 pytest
tests/unit/processors/test_versions.py` writes those whose VERSION is a new one; it never overwrites that of a VERSION
that is there already.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pydantic_core
import pytest

from processors.alerting import person_state, serialization
from processors.alerting.outbox import Outbox
from processors.predictors import forecasting
from processors.sources.account import PersonAccounts
from schemas.envelope import Event, decode
from streams.roles import poller

pytestmark = pytest.mark.golden

FIXTURES = Path(__file__).with_name("fixtures")
DIGESTS = FIXTURES / "versions.json"


def events(name: str) -> Iterator[tuple[int, Event]]:
    lines = (FIXTURES / f"{name}.jsonl").read_bytes().splitlines()
    return enumerate(map(decode, lines))


def alerter() -> Iterator[str]:
    state = person_state.PersonState("maya")
    outlook = forecasting.ForecastState()
    for offset, event in events("journal"):
        state.take(event, offset)
        said = outlook.take(event, offset)
        if isinstance(said, forecasting.ForecastMade):
            state.take_forecast(said)
        yield state.dump()


def forecaster() -> Iterator[str]:
    state = forecasting.ForecastState()
    for offset, event in events("journal"):
        said = state.take(event, offset)
        yield state.dump()
        yield pydantic_core.to_json(said).decode()


def outbox() -> Iterator[str]:
    box = Outbox(("phone", "tablet"))
    for _, event in events("alerts"):
        yield json.dumps(box.evolve(event))
        yield serialization.dump_outbox(box)
        yield serialization.dump_episodes(box.episodes)


def source() -> Iterator[str]:
    accounts = PersonAccounts("maya")
    for offset, event in events("journal"):
        accounts.take(event, offset)
        yield accounts.dump()


FOLDS: dict[str, tuple[str, Callable[[], Iterator[str]]]] = {
    "processors/alerting/person_state.py": (person_state.VERSION, alerter),
    "processors/alerting/serialization.py": (serialization.VERSION, outbox),
    "processors/predictors/forecasting.py": (forecasting.VERSION, forecaster),
    "streams/roles/poller.py": (poller.VERSION, source),
}


@pytest.mark.parametrize("module", FOLDS)
def test_a_fold_that_gives_another_state_has_another_version(module: str) -> None:
    version, fold = FOLDS[module]
    digest = hashlib.sha256("\n".join(fold()).encode()).hexdigest()
    kept = json.loads(DIGESTS.read_text()) if DIGESTS.exists() else {}
    if os.environ.get("IV3_TEST_WRITE_DIGESTS") and kept.get(module, {}).get("version") != version:
        kept[module] = {"version": version, "digest": digest}
        DIGESTS.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    again = "run this test with IV3_TEST_WRITE_DIGESTS=1 and commit fixtures/versions.json"
    assert kept[module]["version"] == version, f"{module} has a new VERSION: {again}"
    assert kept[module]["digest"] == digest, (
        f"{module} makes another state of the same journal, so an old snapshot would be taken for a new "
        f"one: raise its VERSION, then {again}"
    )


def test_every_version_of_a_fold_is_guarded() -> None:
    root = Path(__file__).resolve().parents[3]
    found = {
        str(path.relative_to(root))
        for folder in ("processors", "streams")
        for path in (root / folder).rglob("*.py")
        if any(line.startswith("VERSION = ") for line in path.read_text().splitlines())
    }
    assert found == set(FOLDS)
