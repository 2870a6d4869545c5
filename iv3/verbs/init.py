"""`iv3 init` and `iv3 test-alarm`."""

import asyncio
import os
import secrets
import sys
import time
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import typer
import yaml
from pydantic import SecretStr, ValidationError

from iv3 import config as configuration
from iv3.checks import dexcom as try_dexcom
from iv3.cli import fail
from schemas.settings import Settings
from streams.clients.ntfy import Ntfy
from streams.clock import SystemClock
from streams.errors import Misconfigured, NotifierRefused, NotifierUnreachable
from streams.ports import Message

_TOPIC_BYTES = 12  # 96 bits: nobody guesses it
_RAPID = {"duration": 300, "peak": 75, "period_type": "short"}
_LONG = {"duration": 2520, "peak": 0, "period_type": "long"}


def init(config: Path) -> None:
    """Ask, try, write. An existing file is never touched."""
    if config.exists():
        raise Misconfigured(
            f"{config} is there already and is never overwritten. Move it away first, or name another with --config."
        )
    raw = _ask()
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise Misconfigured(f"{'.'.join(map(str, first['loc']))}: {first['msg']}. Nothing was written.") from None
    _write(config, raw)
    typer.echo(f"\nWritten: {config} (only you can read it).")
    if settings.dexcom.account:
        typer.echo("\nTrying one Dexcom log-in ...")
        for finding in asyncio.run(try_dexcom(settings, Path("data"))):
            typer.echo(f"  {'ok' if finding.ok else '!!'}  {finding.message}")
    if settings.topic:
        typer.echo(
            f"\nSubscribe to this topic at {settings.ntfy.server} in the ntfy app; whoever knows it can read the alarms:\n  {settings.topic}"
        )
        if typer.confirm("Send a test alarm now?", default=True):
            _say(asyncio.run(_send(settings)))
            if not typer.confirm("Did it ring?", default=True):
                typer.echo(
                    "  Look at the phone's notification settings for ntfy, then try again with `iv3 test-alarm`."
                )
    typer.echo("\nNow run `iv3 up`. `iv3 doctor` looks for what may be wrong.")


def _ask() -> dict[str, Any]:
    person: dict[str, Any] = {"name": typer.prompt("Whose glucose is it (a first name)", default="")}
    year = typer.prompt("Year of birth (empty: not said)", default="", show_default=False)
    if year.strip():
        person["birth_year"] = _number(year, "The year")
    person["zone"] = _zone(typer.prompt("Time zone (IANA)", default=_host_zone() or "UTC"))
    account = typer.prompt(
        "Dexcom: user name, e-mail or +phone of the account that shares (empty: none)", default="", show_default=False
    )
    raw: dict[str, Any] = {"person": {k: v for k, v in person.items() if v}}
    if account.strip():
        dexcom: dict[str, Any] = {
            "account": account.strip(),
            "password": typer.prompt("Dexcom: password", hide_input=True),
        }
        dexcom["region"] = typer.prompt("Dexcom: region (us, ous for outside the US, jp)", default="us")
        url = os.environ.get("IV3_DEXCOM__URL")
        raw["dexcom"] = dexcom | ({"url": url} if url else {})
    unit = typer.prompt("Unit (mmol/L or mg/dL)", default="mmol/L")
    rapid = typer.prompt("Rapid insulin (empty: none)", default="Humalog")
    long_acting = typer.prompt("Long-acting insulin (empty: none)", default="")
    raw["iv3"] = {"unit": unit}
    raw["insulin"] = [{"name": rapid.strip(), **_RAPID}] if rapid.strip() else []
    if long_acting.strip():
        every = _number(typer.prompt("Long-acting: taken every how many hours", default="24"), "The hours")
        raw["insulin"].append({"name": long_acting.strip(), **_LONG, "every_h": every})
        raw["iv3"]["missing_long_threshold"] = every + 2
    server = os.environ.get("IV3_NTFY__SERVER") or typer.prompt("ntfy server", default="https://ntfy.sh")
    raw["ntfy"] = {"server": server, "topic": f"iv3-{secrets.token_hex(_TOPIC_BYTES)}"}
    return raw


def _number(text: str, what: str) -> int:
    try:
        return int(text.strip())
    except ValueError:
        raise Misconfigured(f"{what} is {text.strip()!r}; write a whole number. Nothing was written.") from None


def _zone(text: str) -> str:
    if text.strip() not in available_timezones():
        raise Misconfigured(f"{text.strip()!r} is no IANA time zone; write it like Europe/Berlin. Nothing was written.")
    return text.strip()


def _host_zone() -> str:
    """The machine's own zone, unless it is UTC, which most servers run in wherever they stand."""
    link = Path("/etc/localtime")
    name = str(link.resolve()).rpartition("zoneinfo/")[2] if link.exists() else ""
    return name if name in available_timezones() and not name.upper().endswith("UTC") else ""


def _write(path: Path, raw: dict[str, Any]) -> None:
    text = "# iv3; every key is in docs/reference/configuration.md\n" + yaml.safe_dump(
        raw, sort_keys=False, allow_unicode=True
    )
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)


def test_alarm(config: Path | None) -> None:
    """Send one test alarm. Exit 1 if it is not accepted, 2 if there is nowhere to send it."""
    settings = configuration.load(config)
    if not settings.topic:
        raise Misconfigured(
            "ALARMS ARE OFF: neither ntfy.topic nor iv3.endpoint is set, so there is nowhere to send it."
        )
    trouble = asyncio.run(_send(settings))
    if trouble:
        fail(trouble)
    sys.stdout.write(f"{settings.ntfy.server} accepted the test alarm. Did the phone ring?\n")


def _say(trouble: str) -> None:
    typer.echo(f"  !!  {trouble}" if trouble else "  ok  The server accepted it.")


async def _send(settings: Settings) -> str:
    """Why it was not accepted, or an empty string."""
    token: SecretStr | None = settings.ntfy.token
    target = Ntfy(server=settings.ntfy.server, topic=settings.topic, clock=SystemClock(), token=token)
    name = settings.person.name
    message = Message(
        f"test-{int(time.time())}", f"{name}: test alarm" if name else "iv3: test alarm",
        "This is how an urgent alarm arrives. Nothing is wrong.", 5, ("bell",),
    )  # fmt: skip
    try:
        await target.send(message)
    except (NotifierRefused, NotifierUnreachable) as error:
        return str(error)
    finally:
        await target.close()
    return ""
