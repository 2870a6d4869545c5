"""The JSON Schemas of all events, committed. A change must be additive: what a release wrote, every later one reads.

`IV3_TEST_WRITE_SCHEMAS=1 pytest tests/unit/schemas/test_event_schemas.py` adds what is new; it never overwrites what a
change would break.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from schemas.envelope import EVENT_MODELS, NewerVersion, decode

FOLDER = Path(__file__).with_name("event_schemas")
OLD = Path(__file__).with_name("old_events")


def schema_of(name: str) -> dict[str, Any]:
    return EVENT_MODELS[name].model_json_schema(mode="serialization")


@pytest.mark.parametrize("name", sorted(EVENT_MODELS))
def test_an_event_is_described_and_changes_only_by_addition(name: str) -> None:
    path = FOLDER / f"{name}.json"
    now = schema_of(name)
    if not path.exists() and os.environ.get("IV3_TEST_WRITE_SCHEMAS"):
        path.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n")
    then = json.loads(path.read_text())
    broken = list(breaks(then, now, then.get("$defs", {}), now.get("$defs", {}), name))
    assert not broken, "\n".join(broken)
    if now != then and os.environ.get("IV3_TEST_WRITE_SCHEMAS"):
        path.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n")
    assert json.loads(path.read_text()) == now, "additive, but not committed yet: run with IV3_TEST_WRITE_SCHEMAS=1"


def test_no_event_was_taken_away() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} <= set(EVENT_MODELS)


def breaks(then: Any, now: Any, old: dict[str, Any], new: dict[str, Any], where: str) -> Any:
    """What a reader of `now` could not read of what a writer of `then` wrote."""
    then, now = _resolved(then, old), _resolved(now, new)
    gone = set(then.get("properties", {})) - set(now.get("properties", {}))
    if gone:
        yield f"{where}: {sorted(gone)} is gone"
    demanded = set(now.get("required", ())) - set(then.get("required", ()))
    if demanded:
        yield f"{where}: {sorted(demanded)} is required now"
    if "enum" in then and not set(then["enum"]) <= set(now.get("enum", then["enum"])):
        yield f"{where}: a value is no longer allowed"
    if then.get("type") != now.get("type") and "anyOf" not in now:
        yield f"{where}: its type changed from {then.get('type')} to {now.get('type')}"
    for bound, worse in (
        ("minimum", lambda a, b: b > a),
        ("maximum", lambda a, b: b < a),
        ("maxLength", lambda a, b: b < a),
    ):
        if bound in now and worse(then.get(bound, now[bound]), now[bound]):
            yield f"{where}: its {bound} is tighter"
    for key, value in then.get("properties", {}).items():
        if key in now.get("properties", {}):
            yield from breaks(value, now["properties"][key], old, new, f"{where}.{key}")


def _resolved(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        found: dict[str, Any] = definitions[schema["$ref"].rsplit("/", 1)[1]]
        return found
    return schema


def test_a_taken_away_field_a_new_demand_and_another_type_are_seen_as_breaks() -> None:
    then = {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "string"}}, "required": ["a"]}
    assert list(breaks(then, {**then, "properties": {"a": {"type": "number"}}}, {}, {}, "x"))
    assert list(breaks(then, {**then, "required": ["a", "b"]}, {}, {}, "x"))
    assert list(breaks(then, {**then, "properties": {**then["properties"], "a": {"type": "string"}}}, {}, {}, "x"))
    assert not list(breaks(then, {**then, "properties": {**then["properties"], "c": {"type": "string"}}}, {}, {}, "x"))


def test_what_released_versions_wrote_is_read_for_ever() -> None:
    lines = [line for path in sorted(OLD.glob("*.jsonl")) for line in path.read_bytes().splitlines()]
    assert lines
    for line in lines:
        assert decode(line).id


def test_a_field_of_a_newer_release_is_dropped_and_a_newer_version_is_told_apart() -> None:
    line = (OLD / "0.1.0.jsonl").read_bytes().splitlines()[0]
    more = json.loads(line)
    more["data"]["colour"] = "blue"
    assert decode(json.dumps(more).encode()) == decode(line)
    more["type"] = more["type"].replace(".v1", ".v2")
    with pytest.raises(NewerVersion, match="upgrade this worker"):
        decode(json.dumps(more).encode())


def said_values(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model and every model inside it."""
    yield model
    for field in model.model_fields.values():
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from said_values(part)


@pytest.mark.parametrize("name", sorted(EVENT_MODELS))
def test_what_is_left_out_when_it_is_written_is_not_required_when_it_is_read(name: str) -> None:
    """`encode` leaves out what is None: a field that may be None must have a default, or the record can never be read
    again.
    """
    for model in said_values(EVENT_MODELS[name]):
        for field_name, field in model.model_fields.items():
            if field.is_required():
                assert type(None) not in get_args(field.annotation), f"{model.__name__}.{field_name}"
