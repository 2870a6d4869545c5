"""The archive port: objects by key, put once."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Exposure:
    """What else can be said of where an archive lies. `versioning` None: the server does not say."""

    conditional: bool  # it stores an object only where there is none, so that two writers cannot disturb each other
    versioning: bool | None  # it keeps earlier versions of its objects, deleted ones too
    open_to: tuple[str, ...]  # one sentence for each way in that needs no key


class Archive(Protocol):
    """Objects by key, put once."""

    async def put_if_absent(self, key: str, data: bytes) -> bool:
        """Store durably; False (and nothing changed) if the key exists. Raises ArchiveUnavailable."""

    async def replace(self, key: str, data: bytes) -> None:
        """Store durably, replacing atomically; only the `head` objects are ever replaced. Raises ArchiveUnavailable."""

    async def get(self, key: str) -> bytes | None:
        """The object, or None. Raises ArchiveUnavailable."""

    async def list(self, prefix: str) -> list[str]:
        """Keys that begin with `prefix`, sorted. Raises ArchiveUnavailable."""

    async def delete(self, key: str) -> None:
        """Remove the object if it is there. Raises ArchiveUnavailable."""

    async def sweep(self, prefix: str) -> None:
        """Remove what crashes left half-written below a prefix that nobody writes to any more. Raises
        ArchiveUnavailable.
        """

    async def exposure(self) -> Exposure | None:
        """Who else can look in, asked of the server; None where it lies on a disk of this machine. Raises
        ArchiveUnavailable.
        """
