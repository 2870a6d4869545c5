"""What a check found: a name, whether it is well, and a sentence that says what to do."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `serious`: iv3 cannot do its work, or somebody would not be told."""

    name: str
    ok: bool
    message: str
    serious: bool = True


def well(name: str, message: str) -> Finding:
    """It is as it should be."""
    return Finding(name, True, message, serious=False)
