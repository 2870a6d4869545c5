"""Whether the erasure of a person was begun and not ended."""

from pathlib import Path

from iv3.assembly.log import LogPlace
from iv3.doctor.findings import Finding, failed
from iv3.operations.erasure import is_under_way, read_note
from schemas.settings import Settings
from streams.errors import FailedPrecondition


async def erasing(settings: Settings, data: Path) -> list[Finding]:
    """The erasure that was begun and not ended; nothing is said where there is none."""
    try:
        note = read_note(data)
    except FailedPrecondition as error:
        return [failed("erasure", str(error))]
    if note is None:
        return []
    begun = is_under_way(LogPlace(settings, data), note)
    where = "what is left of them is still to be deleted" if begun else "nothing of them is gone yet"
    again = f"run it again, with iv3 stopped: iv3 person erase {note.person}"
    return [failed("erasure", f"The erasure of {note.person} was interrupted; {where}. To end it, {again}")]
