"""The older Go program, as far as somebody who moves away from it meets it: its buckets in InfluxDB, filled in its layout."""

import json
from collections.abc import Iterable

from tests.servers.influx import Influx

BUCKETS = ("iv3_glucose", "iv3_insulin", "iv3_carb", "iv3_events")


def make_buckets(influx: Influx) -> None:
    """As the older program makes them when it starts."""
    for name in BUCKETS:
        influx.ask("POST", "/api/v2/buckets", {"orgID": influx.org_id, "name": name, "retentionRules": []})


def write(influx: Influx, bucket: str, lines: Iterable[str]) -> None:
    """Line protocol, times in nanoseconds."""
    body = "\n".join(lines).encode()
    influx.ask("POST", f"/api/v2/write?precision=ns&bucket={bucket}&org={influx.org}", body)


def reading(time_s: float, value: float, trend: str = "Flat") -> str:
    return f"glucose value={value},trend={json.dumps(trend)} {round(time_s * 1e9)}"


def dose(time_s: int, units: int, insulin: str) -> str:
    return f"insulin,type={insulin} value={units}i {time_s * 10**9}"


def meal(time_s: int, grams: int) -> str:
    return f"carb value={grams}i {time_s * 10**9}"
