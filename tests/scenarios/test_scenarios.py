"""Nights as JSON: facts and ticks in, decisions and forecasts out.

A scenario holds, in minutes after its beginning:

* `profile`: the profile's fields; `runtime`: what the rules must know of the running system, where it is not as usual;
* `inputs`: `reads` (a value every `every` minutes, from `source`, seen `late` minutes after it was taken), a fact by
  its `type` and `data`
  (which `happened` earlier, if it says so), `answers` or `snoozes` an alarm that is open, or `troubles` of iv3 itself
  from then on;
* `ticks`: every so many seconds, until;
* `decisions`: all of them, in order: when, what, and as much more of each as the scenario has something to say about;
* `forecasts`: what is foreseen from some of the readings, `at_20_min` to a tenth.

What is expected is argued from docs/reference/alerts.md in `why`, and was worked out by hand; no output was ever copied
into one.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from processors.alerting import wording
from schemas.alerts import AlertEvent
from schemas.facts import (
    JOURNAL_FACTS,
    AlertAcknowledged,
    AlertsSnoozed,
    ProfileChanged,
    SourceStateChanged,
)
from schemas.forecasts import ForecastMade
from schemas.model import at_ms, ms
from tests.support.night import HOUR, MIN, T0, Night

SCENARIOS = sorted(Path(__file__).parent.glob("*.json"))
FACTS = {fact.TYPE: fact for fact in JOURNAL_FACTS}
AT_20_MIN = 3  # the place in a curve
Script = dict[str, Any]


def moments(script: Script) -> Iterator[tuple[float, Script]]:
    """Each input with its minute, readings one by one, and the ticks among them."""
    ticks = script["ticks"]
    every = ticks["every_s"] / 60
    rows: list[tuple[float, Script]] = [(n * every, {"tick": True}) for n in range(int(ticks["until"] / every) + 1)]
    for given in script["inputs"]:
        if "reads" in given:
            for n, glucose in enumerate(given["reads"]):
                row = {**given, "reads": glucose, "taken": given["at"] + n * given.get("every", 5)}
                rows.append((row["taken"] + given.get("late", 0), row))
        else:
            rows.append((given["at"], given))
    return iter(sorted(rows, key=lambda row: (row[0], "tick" in row[1])))


def play(script: Script) -> Night:
    night = Night(started=T0 - HOUR, **script.get("runtime", {}))
    profile = {"name": "Maya", **script.get("profile", {})}
    night.fact(ProfileChanged.model_validate_json(json.dumps(profile)), at=T0 - HOUR)
    if night.has_source:
        night.fact(SourceStateChanged(state="ok"), at=T0 - HOUR)
    for minute, given in moments(script):
        _put(night, T0 + round(minute * MIN), given)
    return night


def _put(night: Night, now: int, given: Script) -> None:
    if "tick" in given:
        night.tick((now - T0) / MIN)
    elif "reads" in given:
        source = given.get("source", "dexcom-share")
        night.read(given["reads"], given["taken"], late=given.get("late", 0), source=source)
    elif "answers" in given:
        episode = night.episodes.of("me")[given["answers"]].id
        night.fact(AlertAcknowledged(episode=episode, treated=given.get("treated", False)), now=now)
    elif "snoozes" in given:
        night.fact(AlertsSnoozed(kind=given["snoozes"], until=at_ms(now + given["minutes"] * MIN)), now=now)
    elif "troubles" in given:
        night.troubles = tuple(given["troubles"])
    else:
        data = FACTS[given["type"]].model_validate_json(json.dumps(given["data"]))
        happened = T0 + round(given["happened"] * MIN) if "happened" in given else now
        night.fact(data, at=happened, name=given.get("id"), now=now)


def said(event: AlertEvent) -> Script:
    """All that a scenario may say of a decision."""
    at = ms(event.at)
    clear = event.change in ("resolved", "expired")
    return {
        "at": round((at - T0) / MIN, 2),
        "what": f"{event.kind} {event.change}",
        "step": event.step,
        "priority": event.priority,
        "quiet": event.quiet,
        "by": event.by,
        "title": wording.clear_title(event) if clear else wording.title(event),
        "body": wording.body(event, at),
    }


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_night_goes_as_the_rules_say(path: Path) -> None:
    script = json.loads(path.read_text())
    night = play(script)
    found = [said(event) for event in night.said]
    assert [(one["at"], one["what"]) for one in found] == [(one["at"], one["what"]) for one in script["decisions"]]
    for one, wanted in zip(found, script["decisions"], strict=True):
        assert {key: one[key] for key in wanted} == wanted
    made = {(ms(f.reading_time) - T0) / MIN: f for _, f, _, _ in night.inputs if isinstance(f, ForecastMade)}
    for wanted in script.get("forecasts", ()):
        forecast = made.get(wanted["at"])
        assert (forecast is None) == wanted.get("withheld", False), f"at {wanted['at']} min"
        if forecast is not None:
            assert forecast.mean_mgdl[AT_20_MIN] == wanted["at_20_min"]
            least, most = wanted.get("p_low", (0, 1))
            assert least <= forecast.p_low <= most


def test_every_kind_of_alarm_has_its_night() -> None:
    told = {one["what"] for path in SCENARIOS for one in json.loads(path.read_text())["decisions"]}
    kinds = ("urgent_low", "low", "predicted_low", "high", "stale", "no_long_acting", "system")
    assert {f"{kind} opened" for kind in kinds} <= told
    assert all(json.loads(path.read_text())["why"] for path in SCENARIOS)
