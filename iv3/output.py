"""What a command says where it fails. Imports nothing heavy: every verb, and `iv3 --help`, has it."""

import sys
from typing import NoReturn


def fail(message: str, code: int = 1) -> NoReturn:
    """Say what happened and what to do, and end."""
    sys.stderr.write(f"iv3: {message}\n")
    raise SystemExit(code)
