"""What `iv3 doctor` looks for in the archive: can it be reached and written, who else can, and was it ever restored."""

import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from iv3.assembly.archive import archive_of
from iv3.assembly.listening import is_loopback
from iv3.doctor.findings import Finding, failed, noticed, passed
from schemas.settings import Settings
from streams.archive.drill import read_outcome
from streams.errors import ArchiveUnavailable
from streams.ports.archive import Archive, Exposure

_PROBE = "probe/doctor"


async def archive(settings: Settings, data: Path) -> list[Finding]:
    """The archive that the configuration names."""
    named = archive_of(settings.archive, settings.s3)
    if named is None:
        return [_none(settings)]
    try:
        found = [await _usable(named)]
        seen = await named.exposure()
        if seen is not None:
            found += [*_in_the_clear(settings), *_bucket(seen)]
    except ArchiveUnavailable as error:
        return [failed("archive-unreachable", f"The archive cannot be used: {error}.")]
    return [*found, _drill(settings, data)]


def _none(settings: Settings) -> Finding:
    there = settings.s3.bucket
    how = "archive: s3 uses the bucket that s3.bucket names" if there else "archive: folder:PATH, on another disk"
    return noticed("no-archive", f"There is no archive: the log is on one disk only. Set {how}.")


async def _usable(named: Archive) -> Finding:
    """Write, list, read and delete one object of its own."""
    said = secrets.token_bytes(16)
    await named.replace(_PROBE, said)
    listed, back = await named.list(_PROBE), await named.get(_PROBE)
    await named.delete(_PROBE)
    if _PROBE not in listed or back != said:
        return failed("archive-unreachable", f"{named!r} does not give back what was stored there a moment ago.")
    return passed("archive-unreachable", f"{named!r} can be listed, read, written and deleted from.")


def _bucket(seen: Exposure) -> Iterator[Finding]:
    if seen.open_to:
        said = f"The bucket is not private: {', '.join(seen.open_to)}. It holds health data: take that away."
        yield failed("archive-public", said)
    else:
        yield passed("archive-public", "The bucket is closed to whoever has no key.")
    if seen.conditional:
        said = "The server stores an object only where there is none: two writers cannot disturb each other."
        yield passed("archive-conditions", said)
    else:
        said = (
            "The server cannot store an object only where there is none. iv3 looks before it writes; let one iv3 "
            "alone write there, and do not run `iv3 backup` beside `iv3 up`."
        )
        yield noticed("archive-conditions", said)
    words = {
        True: "The bucket keeps earlier versions of its objects, deleted ones too.",
        False: "The bucket keeps no earlier versions: what somebody deletes there is gone. Versioning would keep it.",
        None: "The server does not say whether it keeps earlier versions.",
    }
    yield passed("archive-versioning", words[seen.versioning])


def _in_the_clear(settings: Settings) -> list[Finding]:
    place = urlsplit(settings.s3.endpoint)
    if place.scheme != "http" or is_loopback(place.hostname or ""):
        return []
    said = "s3.endpoint begins with http://: health data travels in the clear. Write https://."
    return [noticed("archive-clear", said)]


def _drill(settings: Settings, data: Path) -> Finding:
    last, name = read_outcome(data), "archive-drill"
    if last is None:
        return passed(name, "The archive was not restored for a trial yet; `iv3 archive drill` does it now.")
    on = datetime.fromtimestamp(last.at_ms / 1000, UTC).date().isoformat()
    if not last.ok:
        return failed(name, f"On {on} the archive could not be restored as it should: {last.problem}.")
    age_days = (time.time() * 1000 - last.at_ms) / 86_400_000
    if settings.archive_drill_days and age_days > 3 * settings.archive_drill_days:
        return noticed(name, f"The archive was restored for a trial last on {on}: run `iv3 archive drill`.")
    said = f"On {on} the archive was restored, and each of {last.records:,} records was as the log has it."
    return passed(name, said)
