"""`iv3 init` and `iv3 test-alarm`."""

import asyncio
import os
import secrets
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import typer
import yaml
from pydantic import ValidationError

from iv3 import config as configuration
from iv3.assembly.channels import own_ntfy, refuse_no_server
from iv3.assembly.people import accounts_of, credentials_of
from iv3.doctor.people import dexcom as try_dexcom
from iv3.hostzone import host_zone
from iv3.operations.trial_alarm import send_trial_alarm, until_it_rang
from iv3.output import fail
from schemas.settings import Settings
from streams.errors import AlreadyExists, FailedPrecondition, Misconfigured

_TOPIC_BYTES = 12  # 96 bits: nobody guesses it
_RAPID = {"duration": 300, "peak": 75, "period_type": "short"}
# Hours that long-acting insulins act, as their makers say (once a day at steady state; the longer end).
_LONG_ACTS_H = {"tresiba": 42, "degludec": 42, "toujeo": 36, "lantus": 24, "glargine": 24, "levemir": 24, "detemir": 24}
_LONG_USUAL_H = 24
_NAME_MOST, _HOURS_MOST = 80, 168


def init(config: Path) -> None:
    """Ask, try, write. An existing file is never touched."""
    if config.exists():
        raise AlreadyExists(
            f"{config} is there already and is never overwritten. Move it away first, or name another with --config."
        )
    raw = _ask()
    settings = _checked(raw)
    if settings.dexcom.account:
        settings = _until_dexcom_lets_in(raw, settings)
    _write(config, raw)
    typer.echo(f"\nWritten: {config} (only you can read it).")
    if settings.topic:
        typer.echo(
            f"\nSubscribe to this topic at {settings.ntfy.server} in the ntfy app; whoever knows it can "
            f"read the alarms:\n  {settings.topic}"
        )
        until_it_rang(settings)
    typer.echo("\nNow run `iv3 up`. `iv3 doctor` looks for what may be wrong.")


def _checked(raw: dict[str, Any]) -> Settings:
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise Misconfigured(f"{'.'.join(map(str, first['loc']))}: {first['msg']}. Nothing was written.") from None


def _until_dexcom_lets_in(raw: dict[str, Any], settings: Settings) -> Settings:
    """One log-in; where the password is refused it may be typed again, for that is what is wrong most often."""
    while True:
        typer.echo("\nTrying one Dexcom log-in ...")
        findings = asyncio.run(try_dexcom(settings, Path("data")))
        for finding in findings:
            typer.echo(f"  {'ok' if finding.ok else '!!'}  {finding.message}")
        if all(finding.ok or finding.name != "dexcom-refused" for finding in findings):
            return settings
        question = "Dexcom: password, once more (empty: leave it as it is)"
        again = typer.prompt(question, hide_input=True, default="", show_default=False)
        if not again:
            return settings
        raw["dexcom"]["password"] = again
        settings = _checked(raw)


def _ask() -> dict[str, Any]:
    name = _ask_for("Whose glucose is it (a first name)", _text, default="")
    year = _ask_for("Year of birth (empty: not said)", _year, default="")
    zone = _ask_for("Time zone (IANA)", _zone, default=host_zone() or "UTC")
    person = {"name": name, "birth_year": year, "zone": zone}
    raw: dict[str, Any] = {"person": {key: value for key, value in person.items() if value}}
    whose = "Dexcom: user name, e-mail or +phone of the account that shares (empty: none)"
    account = _ask_for(whose, _text, default="")
    if account:
        raw["dexcom"] = _ask_dexcom(account)
    unit = _ask_for("Unit (mmol/L or mg/dL)", _unit, default="mmol/L")
    rapid = _ask_for("Rapid insulin (empty: none)", _text, default="Humalog")
    long_acting = _ask_for("Long-acting insulin (empty: none)", _text, default="")
    raw["iv3"] = {"unit": unit}
    raw["insulin"] = [{"name": rapid, **_RAPID}] if rapid else []
    if long_acting:
        every = _ask_for("Long-acting: taken every how many hours", _hours, default="24")
        acts = next((h for word, h in _LONG_ACTS_H.items() if word in long_acting.casefold()), _LONG_USUAL_H)
        curve = {"duration": acts * 60, "peak": 0, "period_type": "long", "every_h": every}
        raw["insulin"].append({"name": long_acting, **curve})
        raw["iv3"]["missing_long_threshold"] = every + 2
    server = os.environ.get("IV3_NTFY__SERVER") or _ask_for("ntfy server", _address, default="https://ntfy.sh")
    raw["ntfy"] = {"server": server, "topic": f"iv3-{secrets.token_hex(_TOPIC_BYTES)}"}
    return raw


def _ask_dexcom(account: str) -> dict[str, Any]:
    password = typer.prompt("Dexcom: password", hide_input=True)
    region = _ask_for("Dexcom: region (us, ous for outside the US, jp)", _region, default="us")
    url = os.environ.get("IV3_DEXCOM__URL")
    return {"account": account, "password": password, "region": region, **({"url": url} if url else {})}


def _ask_for(question: str, check: Callable[[str], Any], default: str) -> Any:  # noqa: ANN401 - what the check makes of it
    """Ask until the answer fits; a slip of the thumb costs that answer only. Without a terminal the first that does not
    fit ends it.
    """
    while True:
        said = str(typer.prompt(question, default=default, show_default=bool(default))).strip()
        try:
            return check(said)
        except ValueError as error:
            if not sys.stdin.isatty():
                raise Misconfigured(f"{question}: {said!r} {error}. Nothing was written.") from None
            typer.echo(f"  {said!r} {error}.")


def _text(said: str) -> str:
    if len(said) > _NAME_MOST or not said.isprintable():
        raise ValueError(f"is longer than {_NAME_MOST} characters, or holds some that cannot be printed")
    return said


def _year(said: str) -> int | None:
    if not said:
        return None
    if not said.isdecimal() or not 1900 <= int(said) <= datetime.now(UTC).year:
        raise ValueError("is no year of birth; write it like 2014")
    return int(said)


def _hours(said: str) -> int:
    if not said.isdecimal() or not 1 <= int(said) <= _HOURS_MOST:
        raise ValueError(f"is no number of hours from 1 to {_HOURS_MOST}")
    return int(said)


def _zone(said: str) -> str:
    if said not in available_timezones():
        raise ValueError("is no IANA time zone; write it like Europe/Berlin")
    return said


def _unit(said: str) -> str:
    known = {"mmol/l": "mmol/L", "mmol": "mmol/L", "mg/dl": "mg/dL", "mg": "mg/dL", "mgdl": "mg/dL"}
    if said.casefold() not in known:
        raise ValueError("is no unit of glucose; write mmol/L or mg/dL")
    return known[said.casefold()]


def _region(said: str) -> str:
    if said.casefold() not in {"us", "ous", "jp"}:
        raise ValueError("is no region of Dexcom; write us, ous (everywhere else, Europe too) or jp")
    return said.casefold()


def _address(said: str) -> str:
    try:
        refuse_no_server(said)
    except FailedPrecondition:
        raise ValueError("is no server; write it like https://ntfy.sh") from None
    return said


def _write(path: Path, raw: dict[str, Any]) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write("# iv3; every key is in docs/reference/configuration.md\n")
        yaml.safe_dump(raw, file, sort_keys=False, allow_unicode=True)


def test_alarm(config: Path | None, person: str | None = None, data: Path = Path("data")) -> None:
    """Send one test alarm. Exit 1 if it is not accepted, 2 if there is nowhere to send it."""
    settings = configuration.load(config)
    if person is not None:
        settings = _as_told_of(settings, person, data)
    if not settings.topic:
        raise FailedPrecondition(
            "ALARMS ARE OFF: neither ntfy.topic nor iv3.endpoint is set, so there is nowhere to send it."
        )
    trouble = asyncio.run(send_trial_alarm(settings))
    if trouble:
        fail(trouble)
    sys.stdout.write(f"{settings.ntfy.server} accepted the test alarm. Did the phone ring?\n")


def _as_told_of(settings: Settings, person: str, data: Path) -> Settings:
    """The settings with the phone that is told of one person in the place of the house's. Raises Misconfigured."""
    known = accounts_of(settings, credentials_of(settings, data).read())
    if person not in known:
        raise Misconfigured(
            f"--person: {person} has no phone of their own, and is not in config.yaml; without --person "
            "the house's phone is tried."
        )
    named = settings.person.model_copy(update={"name": person})
    own = known[person].ntfy
    ntfy = own_ntfy(settings, own) if own.topic else settings.ntfy
    return settings.model_copy(update={"person": named, "ntfy": ntfy})
