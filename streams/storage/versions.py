"""Generations: which version of the files that are derived from the log is the current one.

`DATA/projections.json` names it; a replay builds the next one beside it and then flips the pointer, durably and at
once. Whoever serves from the files looks at the pointer from time to time.
"""

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import apsw

from streams.errors import FailedPrecondition
from streams.storage.files import write_durably

logger = logging.getLogger("iv3.generations")

POINTER = "projections.json"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ServingVersions:
    """Version numbers of the Series and the catalog."""

    series: int = 1
    catalog: int = 1


def current(data: Path) -> ServingVersions:
    """What the pointer names; the first generation where there is none. Raises FailedPrecondition if it cannot
    be read.
    """
    path = data / POINTER
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return ServingVersions(int(said["series"]), int(said["catalog"]))
    except FileNotFoundError:
        return ServingVersions()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FailedPrecondition(f"{path} cannot be read ({error}). Delete it and run `iv3 replay`.") from None


def flip(data: Path, generation: ServingVersions) -> None:
    """Make `generation` the current one."""
    write_durably(data / POINTER, json.dumps(asdict(generation)).encode())


def series_path(data: Path, number: int) -> Path:
    """The file of a version of the Series."""
    return data / f"series-{number}.db"


def catalog_path(data: Path, number: int) -> Path:
    """The file of a version of the catalog."""
    return data / f"catalog-{number}.db"


def remove(data: Path, path: Path) -> None:
    """Delete the files of a version of the Series or the catalog that is not the current one."""
    now = current(data)
    if path not in (series_path(data, now.series), catalog_path(data, now.catalog)):
        for file in _files(path):
            file.unlink(missing_ok=True)


def _files(path: Path) -> list[Path]:
    return [path.with_name(path.name + end) for end in ("", "-wal", "-shm")]


def readable(opened: Callable[[], _T], path: Path) -> _T:
    """Open a file that is derived from the log. One that is damaged is set aside and made anew: the log has
    everything.
    """
    try:
        return opened()
    except (apsw.NotADBError, apsw.CorruptError) as error:
        logger.error("%s is damaged (%s); it is set aside and made anew from the log", path, error)  # noqa: TRY400 - the sentence says it all
        for file in _files(path):
            with suppress(FileNotFoundError):
                file.replace(file.with_name(f"{file.name}.damaged"))
        return opened()
