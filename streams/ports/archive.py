"""The archive port: objects by key, put once."""

from typing import Protocol


class Archive(Protocol):
    """Objects by key, put once."""

    async def put_if_absent(self, key: str, data: bytes) -> bool:
        """Store durably; False (and nothing changed) if the key exists. Raises ArchiveUnavailable."""
        ...

    async def replace(self, key: str, data: bytes) -> None:
        """Store durably, replacing atomically; only the `head` objects are ever replaced. Raises ArchiveUnavailable."""
        ...

    async def get(self, key: str) -> bytes | None:
        """The object, or None. Raises ArchiveUnavailable."""
        ...

    async def list(self, prefix: str) -> list[str]:
        """Keys that begin with `prefix`, sorted. Raises ArchiveUnavailable."""
        ...

    async def delete(self, key: str) -> None:
        """Remove the object if it is there. Raises ArchiveUnavailable."""
        ...
