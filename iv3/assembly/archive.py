"""Which archive the configuration names."""

from pathlib import Path

from iv3.config import refuse_half_a_bucket
from schemas.settings import S3Settings
from streams.adapters.archives.folder import FolderArchive
from streams.errors import Misconfigured, NotFound
from streams.ports.archive import Archive


def archive_of(setting: str, s3: S3Settings) -> Archive | None:
    """The adapter that `archive: none | folder:PATH | s3` names. Without any I/O."""
    kind, _, place = setting.partition(":")
    if kind == "none":
        return None
    if setting == "s3":
        from streams.adapters.archives.s3.archive import S3Archive

        refuse_half_a_bucket(s3)
        return S3Archive(s3)
    if kind != "folder" or not place.strip():
        raise Misconfigured(
            f"The archive {setting!r} is none that this release knows; write it like "
            "folder:/mnt/disk/iv3, or s3, or none."
        )
    return FolderArchive(Path(place).expanduser())


def refuse_absent_folder(setting: str, why: str = "") -> None:
    """Raise Misconfigured where the archive is a folder that is not there."""
    kind, _, folder = setting.partition(":")
    if kind == "folder" and not Path(folder).expanduser().is_dir():
        raise NotFound(f"There is no folder {folder}; is the disk that holds the archive mounted?{why}")
