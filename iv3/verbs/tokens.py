"""`iv3 token new|list|revoke`: beside a running `iv3 up` or without one; the log is the only meeting place."""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import get_args

from rich.console import Console
from rich.table import Table

from api.tokens import issue, revocation
from api.values import iso
from iv3.cli import fail
from iv3.verbs.opened import with_log
from schemas.facts import Role, TokenIssued
from schemas.model import ms
from streams.catalog import Catalog
from streams.errors import Misconfigured
from streams.ports import Log, append_events
from streams.topics import JOURNAL

_NAME_MOST = 80


def new(data: Path, config: Path | None, role: str, name: str, expires_days: int | None, *, as_json: bool) -> None:
    """Make a token and print it last."""
    if role not in get_args(Role):
        raise Misconfigured(f"--role is {role!r}; it must be one of {', '.join(get_args(Role))}.")
    name = name.strip()
    if not 1 <= len(name) <= _NAME_MOST or not name.isprintable():
        raise Misconfigured(f'--name must be 1 to {_NAME_MOST} characters that can be printed, such as "Mum\'s phone".')
    now_ms = int(time.time() * 1000)
    expires_ms = now_ms + expires_days * 86_400_000 if expires_days else None

    async def work(log: Log) -> str:
        token, event = issue(role, name, now_ms, expires_ms=expires_ms, actor="command line")  # type: ignore[arg-type] # checked above
        await append_events(log, JOURNAL, [event])
        return token

    token = with_log(data, work, config)
    if as_json:
        sys.stdout.write(json.dumps({"role": role, "name": name, "token": token}) + "\n")
        return
    sys.stdout.write(f"A token for {name} ({role}). It is shown only this once:\n{token}\n")


def _issued(data: Path, config: Path | None) -> list[tuple[TokenIssued, int, bool]]:
    async def work(log: Log) -> list[tuple[TokenIssued, int, bool]]:
        with tempfile.TemporaryDirectory() as folder:
            catalog = Catalog(log, Path(folder) / "catalog.db")
            await catalog.catch_up()
            found = [(e.data, e.time_ms, gone) for e, gone in catalog.store.tokens() if isinstance(e.data, TokenIssued)]
            catalog.store.close()
        return found

    return with_log(data, work, config)


def list_tokens(data: Path, config: Path | None, *, as_json: bool) -> None:
    """Every token, without the tokens themselves."""
    rows = [
        {"id": t.token_id, "name": t.name, "role": t.role, "created": iso(made), "expires": iso(ms(t.expires)) if t.expires else None,
         "revoked": revoked}
        for t, made, revoked in _issued(data, config)
    ]  # fmt: skip
    if as_json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    table = Table("id", "name", "role", "created", "expires", "")
    for row in rows:
        cells = (row["id"], row["name"], row["role"], str(row["created"])[:10], str(row["expires"] or "never")[:10])
        table.add_row(*map(str, cells), "revoked" if row["revoked"] else "")
    Console().print(table)


def revoke(data: Path, config: Path | None, token_id: str) -> None:
    """End a token."""
    if token_id not in {token.token_id for token, _, _ in _issued(data, config)}:
        fail(f"There is no token {token_id}; `iv3 token list --data {data}` shows them.", 2)

    async def work(log: Log) -> None:
        await append_events(log, JOURNAL, [revocation(token_id, int(time.time() * 1000), "command line")])

    with_log(data, work, config)
    sys.stdout.write(f"Token {token_id} is revoked.\n")
