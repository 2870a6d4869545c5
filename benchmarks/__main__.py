"""Prints the table; exits 1 if a figure misses its reach."""

import importlib
import os
import platform
import sys

from benchmarks.figures import Figure

GROUPS = {
    "appends": "benchmarks.appends:run",
    "alarm": "benchmarks.alarm:run",
    "archive": "benchmarks.archiving:run",
    "influx": "benchmarks.influx:run",
    "kafka": "benchmarks.kafka:run",
    "moves": "benchmarks.kafka_moves:run",
    "loops": "benchmarks.loops:run",
    "replay": "benchmarks.replaying:run",
    "serving": "benchmarks.serving:run",
    "start": "benchmarks.serving:run_start",
    "costs": "benchmarks.costs:run",  # last: it fills the machine, and what comes behind it would be measured beside it
}


def main(names: list[str]) -> int:
    """Run the groups named, or all."""
    figures: list[Figure] = []
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load "
        f"{os.getloadavg()[0]:.1f}\n"
    )
    print("| figure | measured | reach | load | |\n|---|---|---|---|---|")
    for name in names or GROUPS:
        module, _, function = GROUPS[name].partition(":")
        for figure in getattr(importlib.import_module(module), function)():
            figures.append(figure)
            met = "✓" if figure.met else "✗"
            print(f"| {figure.name} | {figure.value} | {figure.reach} | {figure.load:.1f} | {met} |", flush=True)
    return int(not all(figure.met for figure in figures))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
