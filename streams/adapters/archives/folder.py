"""The archive in a folder: one file per object, put whole or not at all, and there after a power loss."""

import asyncio
import os
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from streams.adapters.archives.keys import checked
from streams.errors import ArchiveUnavailable
from streams.ports.archive import Exposure
from streams.storage.files import sync_folder, write_durably

_T = TypeVar("_T")
_LEFT = re.compile(r"\.[^/]+\.[0-9a-f]{8}(\.part)?")


class FolderArchive:
    """The `Archive` port on a folder. Every call raises ArchiveUnavailable where the folder cannot be used, ValueError
    for a key that is none.
    """

    def __init__(self, path: Path) -> None:
        self._root = path
        # A root that was there once and is gone is a disk that was taken away, not a folder to be made.
        self._seen = False

    def __repr__(self) -> str:
        return f"folder:{self._root}"

    def _path(self, key: str) -> Path:
        return self._root / checked(key)

    async def _do(self, work: Callable[[], _T]) -> _T:
        try:
            there = await asyncio.to_thread(self._root.is_dir)
            if self._seen and not there:
                raise ArchiveUnavailable(f"the archive folder {self._root} is gone; is its disk mounted?")
            self._seen = there
            return await asyncio.to_thread(work)
        except OSError as error:
            raise ArchiveUnavailable(
                f"the archive folder {self._root} cannot be used: {error.strerror or error}"
            ) from error

    async def put_if_absent(self, key: str, data: bytes) -> bool:
        """See `Archive`."""
        path = self._path(key)

        def put() -> bool:
            if path.exists():
                return False
            _make_folders(path.parent)
            part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
            try:
                write_durably(part, data)
                try:
                    os.link(part, path)  # fails if the name is taken; a rename would not
                except FileExistsError:
                    return False
                sync_folder(path.parent)
            finally:
                part.unlink(missing_ok=True)
            return True

        return await self._do(put)

    async def replace(self, key: str, data: bytes) -> None:
        """See `Archive`."""
        path = self._path(key)

        def replace() -> None:
            _make_folders(path.parent)
            write_durably(path, data)

        await self._do(replace)

    async def get(self, key: str) -> bytes | None:
        """See `Archive`."""
        path = self._path(key)

        def get() -> bytes | None:
            try:
                return path.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

        return await self._do(get)

    async def list(self, prefix: str) -> list[str]:
        """See `Archive`. What a crash left half-written begins with a point and is no object."""

        def walk() -> list[str]:
            found = []
            for folder, _, names in os.walk(self._root):
                place = Path(folder).relative_to(self._root)
                shown = (name for name in names if not name.startswith(".") and not name.endswith(".part"))
                found += [str(place / name) for name in shown]
            return sorted(key for key in found if key.startswith(prefix))

        return await self._do(walk)

    async def delete(self, key: str) -> None:
        """See `Archive`."""
        path = self._path(key)
        await self._do(lambda: path.unlink(missing_ok=True))

    async def exposure(self) -> Exposure | None:
        """See `Archive`: who may read a folder, its modes say."""
        return None

    async def sweep(self, prefix: str) -> None:
        """See `Archive`. Folders that are empty go too."""
        root = self._path(prefix.rstrip("/"))

        def sweep() -> None:
            for folder, _, names in os.walk(root, topdown=False):
                for name in names:
                    if name.endswith(".part") or _LEFT.fullmatch(name):
                        (Path(folder) / name).unlink(missing_ok=True)
                if not any(Path(folder).iterdir()):
                    Path(folder).rmdir()

        await self._do(sweep)


def _make_folders(folder: Path) -> None:
    """Make what is missing, and make each new name survive a power loss."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(mode=0o700, exist_ok=True)
        sync_folder(new.parent)
