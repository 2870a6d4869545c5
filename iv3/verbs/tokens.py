"""`iv3 token new|list|revoke`: beside a running `iv3 up` or without one; the log is the only meeting place."""

import sys
import time
from pathlib import Path
from typing import get_args

from rich.table import Table

from api.request.values import iso
from iv3.operations.opened import log_settings, with_catalog, with_door
from iv3.options import TokenOptions
from iv3.output import fail, say
from schemas.envelope import SYSTEM, Author
from schemas.facts import Role
from schemas.household import household
from schemas.model import ms
from streams.commands.door import Door
from streams.commands.tokens import issue_token, revoke_token
from streams.errors import Misconfigured, NotFound
from streams.ports.catalog import TokenRecord

_NAME_MOST = 80
_AUTHOR = Author("api", "command line")


def new(options: TokenOptions) -> None:
    """Make a token and print it last."""
    role, expires_days, people = options.role, options.expires_days, tuple(options.person or ())
    if role not in get_args(Role):
        raise Misconfigured(f"--role is {role!r}; it must be one of {', '.join(get_args(Role))}.")
    name = options.name.strip()
    if not 1 <= len(name) <= _NAME_MOST or not name.isprintable():
        raise Misconfigured(f'--name must be 1 to {_NAME_MOST} characters that can be printed, such as "Mum\'s phone".')
    expires_ms = int(time.time() * 1000) + expires_days * 86_400_000 if expires_days else None

    configured = {person.id for person in household(log_settings(options.data, options.config))}

    async def work(door: Door) -> str:
        unknown = [person for person in people if person not in configured and person not in door.catalog.people()]
        if unknown:
            raise NotFound(f"--person: iv3 knows no person {unknown[0]}; `iv3 person list` shows who there is.")
        issued = await issue_token(door, role, name, people=people, expires_ms=expires_ms)  # type: ignore[arg-type] # checked above
        return issued.secret

    token = with_door(options.data, _AUTHOR, SYSTEM, work, options.config)
    whose = f", for {' and '.join(people)} only" if people else ""
    words = f"A token for {name} ({role}{whose}). It is shown only this once:\n{token}"
    say({"role": role, "name": name, "people": list(people), "token": token}, words, as_json=options.as_json)


def _issued(data: Path, config: Path | None) -> list[TokenRecord]:
    return with_catalog(data, lambda catalog: list(catalog.tokens()), config)


def list_tokens(data: Path, config: Path | None, *, as_json: bool) -> None:
    """Every token, without the tokens themselves."""
    table = Table("id", "name", "role", "for", "created", "expires", "ended")
    table.columns[0].no_wrap = True  # whoever lost a phone must be able to copy it
    rows = []
    for token, made_ms, revoked in _issued(data, config):
        made, ends = iso(made_ms), iso(ms(token.expires)) if token.expires else None
        rows.append(
            {
                "id": token.token_id,
                "name": token.name,
                "role": token.role,
                "people": list(token.bound_to),
                "created": made,
                "expires": ends,
                "revoked": revoked,
            }
        )
        whose, until = ", ".join(token.bound_to) or "everybody", ends[:10] if ends else "never"
        table.add_row(token.token_id, token.name, token.role, whose, made[:10], until, "revoked" if revoked else "")
    say(rows, table, as_json=as_json)


def revoke(data: Path, config: Path | None, token_id: str) -> None:
    """End a token."""
    if token_id not in {record.token.token_id for record in _issued(data, config)}:
        fail(f"There is no token {token_id}; `iv3 token list --data {data}` shows them.", 2)

    with_door(data, _AUTHOR, SYSTEM, lambda door: revoke_token(door, token_id), config)
    sys.stdout.write(f"Token {token_id} is revoked.\n")
