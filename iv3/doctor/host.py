"""What usually goes wrong, looked for one by one. Each check answers with a name, whether it is well, and a sentence
that says what to do.
"""

import ssl
import stat
from datetime import UTC, datetime
from pathlib import Path

from iv3.assembly.listening import is_free
from iv3.doctor.findings import Finding, failed, noticed, passed
from schemas.settings import Settings
from streams.errors import FailedPrecondition
from streams.storage.files import RESERVE_BYTES, free_bytes, refuse_remote
from streams.storage.sqlite import sqlite_version

_DAY_S = 86_400
_SOON_DAYS = 14
_FIXED_SQLITE = (3, 51, 3)  # the WAL-reset fix


async def files(settings: Settings, data: Path) -> list[Finding]:
    """The data folder, the disk, SQLite, certificates."""
    return [_disk(data), _file_system(data), _sqlite(), *_certificate(settings)]


def config_file(path: Path) -> list[Finding]:
    """Whether others than its owner can read the configuration file."""
    if not path.exists():
        return []
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        return [noticed("config-readable", f"{path} holds passwords and others can read it: chmod 600 {path}.")]
    return [passed("config-readable", f"{path} is readable by its owner only.")]


def _disk(data: Path) -> Finding:
    folder = data if data.exists() else Path.cwd()
    free = free_bytes(folder)
    if free < RESERVE_BYTES:
        left, least = free >> 20, RESERVE_BYTES >> 20
        said = f"{folder} has {left} MiB left; below {least} MiB only readings and alarms are saved. Free some space."
        return failed("disk-full", said)
    return passed("disk-full", f"{folder} has {free >> 30} GiB left.")


def _file_system(data: Path) -> Finding:
    try:
        refuse_remote(data if data.exists() else Path.cwd())
    except FailedPrecondition as error:
        return failed("remote-disk", str(error))
    return passed("remote-disk", "The data folder lies on a local disk.")


def _sqlite() -> Finding:
    version = sqlite_version()
    if tuple(map(int, version.split("."))) < _FIXED_SQLITE:
        return failed("sqlite-version", f"SQLite {version} can lose writes in WAL mode; install apsw 3.51.3 or newer.")
    return passed("sqlite-version", f"SQLite {version}.")


def _certificate(settings: Settings) -> list[Finding]:
    api = settings.api
    if not api.certfile or not api.keyfile:
        return []
    from cryptography import x509

    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(api.certfile, api.keyfile)
        served = x509.load_pem_x509_certificates(Path(api.certfile).read_bytes())[0]  # the first is the host's own
        left_days = (served.not_valid_after_utc - datetime.now(UTC)).total_seconds() / _DAY_S
    except (OSError, ssl.SSLError, ValueError) as error:
        return [failed("certificate", f"api.certfile and api.keyfile cannot be used: {error}.")]
    if left_days < _SOON_DAYS:
        word = "expired" if left_days < 0 else f"expires in {left_days:.0f} days"
        return [failed("certificate", f"The certificate {word}: renew it, or phones will refuse to connect.")]
    return [passed("certificate", f"The certificate holds for {left_days:.0f} days.")]


async def port(settings: Settings, data: Path) -> list[Finding]:
    """Whether the API can listen."""
    if (data / "run.json").exists():
        return [passed("port-busy", "iv3 is running on this data folder.")]
    if settings.api.port and not is_free(settings.api.host, settings.api.port):
        return [failed("port-busy", f"Port {settings.api.port} is used by another program. Set api.port, or --port.")]
    return [passed("port-busy", f"Port {settings.api.port} is free.")]
