"""What a command says, and what it says where it fails. Imports nothing heavy: every verb, and `iv3 --help`, has it."""

import json
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from rich.table import Table


def fail(message: str, code: int = 1) -> NoReturn:
    """Say what happened and what to do, and end."""
    sys.stderr.write(f"iv3: {message}\n")
    raise SystemExit(code)


def warn(message: str) -> None:
    """Say what may surprise, or is still to be done, and go on."""
    sys.stderr.write(f"iv3: {message}\n")


def say(document: object, *words: "str | Table", as_json: bool) -> None:
    """The answer of a verb: one line of JSON for programs, or lines and tables for people."""
    if as_json:
        sys.stdout.write(json.dumps(document) + "\n")
        return
    for said in words:
        if isinstance(said, str):
            sys.stdout.write(said + "\n")
        else:
            from rich.console import Console

            Console().print(said)
