"""What the SQLite log asks of the disk: a local file system, locks that the kernel frees, room to spare."""

import fcntl
import os
from pathlib import Path

from streams.errors import FailedPrecondition

RESERVE_BYTES = 256 * 1024 * 1024  # below it only readings and alarms are taken: months of them
_REMOTE = ("nfs", "cifs", "smb", "fuse.", "9p", "ceph", "afs", "glusterfs")


def free_bytes(folder: Path) -> int:
    """Bytes that this user may still write in `folder`."""
    room = os.statvfs(folder)
    return room.f_bavail * room.f_frsize


def refuse_remote(folder: Path) -> None:
    """Raise FailedPrecondition where `folder` lies on NFS, CIFS or FUSE: SQLite's locks and syncs cannot be trusted
    there.
    """
    mounts = Path("/proc/self/mountinfo")
    if not mounts.exists():  # not Linux: nothing to ask
        return
    place = str(folder.resolve())
    best, kind = "", ""
    for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
        left, _, right = line.partition(" - ")
        mount = left.split()[4].replace("\\040", " ")
        inside = place == mount or place.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, right.split()[0]
    if kind.startswith(_REMOTE) or kind == "fuse":
        raise FailedPrecondition(
            f"{place} lies on a {kind} file system. The log needs a local disk (ext4, xfs, btrfs, zfs, apfs): "
            "give another folder with --data, and keep copies elsewhere with `archive`."
        )


class FileLock:
    """An exclusive lock on a file, held by this process and freed by the kernel when it dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def try_acquire(self) -> bool:
        """Whether the lock is now ours. Never waits."""
        if self._fd is not None:
            return True
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        self._fd = fd
        return True

    def release(self) -> None:
        """Let go; harmless when it is not held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def write_durably(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace the file so that after a power loss either the old or the new content is there, whole."""
    part = path.with_name(path.name + ".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames and new names in `folder` survive a power loss."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
