"""What a refused log-in leaves on this machine: until when the same password may not be tried again, whichever command
tries.

The journal carries the same deadline for the poller's next start; this file is for `iv3 doctor` and `iv3 init`, which
have no journal or must not wait for one, and it alone can tell that the password was changed since. It holds no
password but a salted scrypt hash, mode 0600.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from processors.sources.polling import LoginPolicy
from streams.storage.files import write_durably

_COST = {"n": 2**14, "r": 8, "p": 1, "dklen": 32}  # 50 ms: paid once per try, and by whoever guesses for every guess


@dataclass(frozen=True, slots=True)
class _Refusal:
    account: str
    refusals: int
    no_login_before_ms: int
    salt: str
    refused: str


class Refusals:
    """The memory of one account's refused log-ins, in one file."""

    def __init__(self, path: Path, account: str, password: SecretStr, now_ms: Callable[[], int]) -> None:
        self._path, self._account, self._password, self._now_ms = path, account, password, now_ms

    def verdict(self) -> Literal["unknown", "changed", "wait", "again"]:
        """What is known of these credentials: nothing, that the refused ones were others, that it is too soon, or that
        it is time.
        """
        kept = self._load()
        if kept is None:
            return "unknown"
        if not hmac.compare_digest(self._hash(kept.salt), kept.refused):
            return "changed"
        policy = LoginPolicy(kept.refusals, kept.no_login_before_ms)
        return "again" if policy.may_log_in(self._now_ms()) else "wait"

    def refused(self, kind: str) -> None:
        """These credentials were refused just now. A file that cannot be written is no reason to stop; the journal
        knows too.
        """
        kept = self._load()
        salt = kept.salt if kept is not None else secrets.token_hex(16)
        told = self._hash(salt)
        before = kept.refusals if kept is not None and hmac.compare_digest(told, kept.refused) else 0
        policy = LoginPolicy(before).after_refusal(kind, self._now_ms())
        said = _Refusal(self._account, policy.refusals, policy.no_login_before_ms, salt, told)
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_durably(self._path, json.dumps(asdict(said)).encode())

    def accepted(self) -> None:
        """Nothing is held against the account any more."""
        with suppress(OSError):
            self._path.unlink()

    def _load(self) -> _Refusal | None:
        try:
            kept = _Refusal(**json.loads(self._path.read_bytes()))
            int(kept.refusals), int(kept.no_login_before_ms), bytes.fromhex(kept.salt), bytes.fromhex(kept.refused)
        except (OSError, ValueError, TypeError):
            return None
        return kept if kept.account == self._account else None

    def _hash(self, salt: str) -> str:
        return hashlib.scrypt(self._password.get_secret_value().encode(), salt=bytes.fromhex(salt), **_COST).hex()
