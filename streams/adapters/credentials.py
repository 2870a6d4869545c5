"""The file of accounts: what `iv3 person add` was told of people's accounts and phones, in one encrypted file; never in
the log, the archive or a command line.

The file is Fernet (AES-128-CBC and HMAC-SHA256) over JSON. Its key is a secret of the configuration or a file beside
it, mode 0600, that no backup of the log contains. Whoever polls or tells needs both; several machines share a copy.
"""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import SecretStr, ValidationError

from schemas.household import Credentials
from streams.errors import FailedPrecondition, InUse, Misconfigured
from streams.storage.files import FileLock, write_durably

_LEAST_KEY = 32  # characters; fewer could be guessed by whoever has the file
_LOCK_S = 10.0
_MOST_BYTES = 64 << 20


class Stamp(NamedTuple):
    """Changes whenever the file is replaced."""

    modified_ns: int
    inode: int
    size: int


class CredentialsFile:
    """One encrypted file. Every method reads or replaces it whole."""

    def __init__(self, path: Path, key_path: Path, key: SecretStr | None = None) -> None:
        """Does no I/O. `key`, where it is given, wins over the file at `key_path`. Raises Misconfigured for a key that
        is too short.
        """
        if key is not None and len(key.get_secret_value().strip()) < _LEAST_KEY:
            raise Misconfigured(
                f"credentials.key must be at least {_LEAST_KEY} random characters, such as `openssl rand "
                "-base64 32` prints."
            )
        self.path, self._key_path, self._key = path, key_path, key

    def stamp(self) -> Stamp | None:
        """What tells one state of the file from the next; None where there is no file."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise FailedPrecondition(f"{self.path} cannot be looked at: {error.strerror}.") from None
        return Stamp(found.st_mtime_ns, found.st_ino, found.st_size)

    def read(self) -> dict[str, Credentials]:
        """What is kept, by person; nothing where there is no file. Raises Misconfigured where it cannot be read with
        this key.
        """
        try:
            if self.path.stat().st_size > _MOST_BYTES:
                raise FailedPrecondition(f"{self.path} is larger than 64 MiB; that is no file of credentials.")
            sealed = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise FailedPrecondition(f"{self.path} cannot be read: {error.strerror}.") from None
        from cryptography.fernet import InvalidToken

        try:
            said = json.loads(self._cipher(make=False).decrypt(sealed))
            return {person: Credentials.model_validate(kept) for person, kept in said.items()}
        except InvalidToken:
            raise FailedPrecondition(
                f"{self.path} cannot be opened with this key, or is damaged. Set credentials.key (or {self._key_path}) "
                "to the key it was made with, or move the file away and enter the accounts again with `iv3 person add`."
            ) from None
        except (ValueError, AttributeError, ValidationError):
            raise FailedPrecondition(f"{self.path} was written by another version of iv3; upgrade this one.") from None

    def put(self, person: str, kept: Credentials) -> None:
        """Keep this of a person, in place of what was kept. Durable when it returns. Raises Misconfigured."""
        self._change(lambda known: {**known, person: kept})

    def remove(self, person: str) -> bool:
        """Forget a person; whether anything was kept. Raises Misconfigured."""
        if person not in self.read():
            return False
        self._change(lambda known: {who: kept for who, kept in known.items() if who != person})
        return True

    def _change(self, change: Callable[[dict[str, Credentials]], Mapping[str, Credentials]]) -> None:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = FileLock(self.path.with_name(self.path.name + ".lock"))
            deadline = time.monotonic() + _LOCK_S
            while not lock.try_acquire():
                if time.monotonic() > deadline:
                    raise InUse(f"Another iv3 is changing {self.path}; try again in a moment.")
                time.sleep(0.05)
            try:
                after = change(self.read())
                plain = json.dumps({person: _plain(kept) for person, kept in sorted(after.items())}).encode()
                write_durably(self.path, self._cipher(make=True).encrypt(plain))
            finally:
                lock.release()
        except OSError as error:
            raise FailedPrecondition(f"{self.path} cannot be written: {error.strerror}. Nothing was changed.") from None

    def _cipher(self, *, make: bool) -> Any:  # noqa: ANN401 - cryptography is imported only where there is a file of accounts
        from cryptography.fernet import Fernet

        return Fernet(base64.urlsafe_b64encode(hashlib.sha256(self._key_text(make=make).encode()).digest()))

    def _key_text(self, *, make: bool) -> str:
        """The secret itself. It is long and random, so a plain hash makes a key of it."""
        if self._key is not None:
            return self._key.get_secret_value().strip()
        try:
            if make and not self._key_path.exists():
                write_durably(self._key_path, secrets.token_urlsafe(48).encode())
            if self._key_path.stat().st_mode & 0o077:
                raise FailedPrecondition(f"Others on this machine may read {self._key_path}: chmod 600 it.")
            return self._key_path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            raise FailedPrecondition(
                f"{self.path} is encrypted, and its key is not here: put it at {self._key_path}, or set "
                "IV3_CREDENTIALS__KEY_FILE."
            ) from None
        except OSError as error:
            raise FailedPrecondition(f"{self._key_path} cannot be read: {error.strerror}.") from None


def _plain(kept: Credentials) -> dict[str, Any]:
    """As it is encrypted: secrets in clear, what was left out left out."""
    groups = {name: getattr(kept, name) for name in Credentials.model_fields}
    empty = Credentials()
    return {
        name: {key: _in_clear(value) for key, value in group.model_dump(exclude_none=True).items()}
        for name, group in groups.items()
        if group != getattr(empty, name)
    }


def _in_clear(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
