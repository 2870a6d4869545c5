"""Generations: which version of the files that are derived from the log is the current one.

`DATA/projections.json` names it; a replay builds the next one beside it and then flips the pointer, durably and at once. Whoever serves from
the files looks at the pointer from time to time.
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from streams.errors import Misconfigured
from streams.logs.disk import write_durably

POINTER = "projections.json"


@dataclass(frozen=True, slots=True)
class Generation:
    """Version numbers of the Series and the catalog."""

    series: int = 1
    catalog: int = 1

    def next(self) -> "Generation":
        """The one after."""
        return Generation(self.series + 1, self.catalog + 1)


def current(data: Path) -> Generation:
    """What the pointer names; the first generation where there is none. Raises Misconfigured if it cannot be read."""
    path = data / POINTER
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return Generation(int(said["series"]), int(said["catalog"]))
    except FileNotFoundError:
        return Generation()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Misconfigured(f"{path} cannot be read ({error}). Delete it and run `iv3 replay`.") from None


def flip(data: Path, generation: Generation) -> None:
    """Make `generation` the current one."""
    said = {"series": generation.series, "catalog": generation.catalog}
    write_durably(data / POINTER, json.dumps(said).encode())


def series_path(data: Path, number: int) -> Path:
    """The file of a version of the Series."""
    return data / f"series-{number}.db"


def catalog_path(data: Path, number: int) -> Path:
    """The file of a version of the catalog."""
    return data / f"catalog-{number}.db"


def remove(data: Path, generation: Generation) -> None:
    """Delete the files of a generation that is not the current one."""
    now = current(data)
    for path, live in (
        (series_path(data, generation.series), generation.series == now.series),
        (catalog_path(data, generation.catalog), generation.catalog == now.catalog),
    ):
        if live:
            continue
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            with suppress(FileNotFoundError):
                (data / name).unlink()
