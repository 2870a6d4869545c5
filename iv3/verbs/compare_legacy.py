"""`iv3 compare seed`: the older Go program, while it still runs, beside iv3's own log."""

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from pydantic import SecretStr

from iv3 import config as configuration
from iv3.assembly.legacy import legacy_api
from iv3.assembly.log import LogPlace
from iv3.operations.legacy_settings import insulins_of, source_of
from processors.legacy.comparing import Difference, KnownByIv3, LegacyRow, differ
from processors.legacy.moving import Insulins
from schemas.envelope import Garbage, decode
from schemas.household import household
from schemas.model import at_ms
from schemas.settings import Settings
from streams.clock import SystemClock
from streams.errors import Misconfigured
from streams.ports.log import Record
from streams.topics import JOURNAL, partition_of

_SETTLED_S = 600  # the two ask Dexcom at different moments: what is younger may be in only one of them yet
_MOST_SHOWN = 5
_KINDS = ("readings", "doses", "carbs")


@dataclass(frozen=True)
class CompareOptions:
    """What the command line says."""

    url: str
    user: str | None
    password_file: Path | None
    cafile: Path | None
    hours: float
    names: tuple[str, ...]
    data: Path
    config: Path | None


def seed(options: CompareOptions, *, as_json: bool) -> None:
    """Ask both, print what differs; exit 1 if anything does. Raises Misconfigured, SourceUnreachable,
    LogUnavailable.
    """
    settings = configuration.load(options.config)
    insulins = insulins_of(settings, options.names)
    source, _ = source_of(settings)
    user = options.user or settings.api.username
    if not user:
        raise Misconfigured("--user is missing: api.username of the old program's config.yaml.")
    if LogPlace(settings, options.data).is_demo():
        raise Misconfigured(f"{options.data} is a demo's; there is nothing to compare. Name another with --data.")
    api = legacy_api(options.url, user, _password(options, settings), options.cafile)
    end_s = SystemClock().now_ms() // 1000 - _SETTLED_S
    start_s = end_s - round(options.hours * 3600)

    async def work() -> dict[str, Difference]:
        try:
            old = [
                await api.rows("glucose", start_s, end_s),
                await api.rows("insulin", start_s, end_s),
                await api.rows("carbs", start_s, end_s),
            ]
        finally:
            await api.close()
        known = await _known(
            settings, options.data, KnownByIv3(household(settings)[0].id, source, start_s * 1000, end_s * 1000)
        )
        new = [known.readings(), known.doses(), known.carbs()]
        old[1], new[1] = _spelt(old[1], insulins), _spelt(new[1], insulins)
        return {kind: differ(one, other) for kind, one, other in zip(_KINDS, old, new, strict=True)}

    found = asyncio.run(work())
    if as_json:
        sys.stdout.write(json.dumps(_document(found, start_s, end_s)) + "\n")
    else:
        _print(found, start_s, end_s)
    if any(d.only_old or d.only_iv3 for d in found.values()):
        raise SystemExit(1)


def _password(options: CompareOptions, settings: Settings) -> SecretStr:
    """From a file, from the configuration, or asked for: never from the command line, which others can see."""
    if options.password_file is not None:
        try:
            return SecretStr(options.password_file.read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            raise Misconfigured(f"--password-file {options.password_file} cannot be read: {error}.") from None
    if settings.api.password.get_secret_value():
        return settings.api.password
    return SecretStr(typer.prompt("Password of the old program's API", hide_input=True))


async def _known(settings: Settings, data: Path, known: KnownByIv3) -> KnownByIv3:
    """Fold the journal as it is on disk, beside whatever runs on it."""
    log = (await LogPlace(settings, data).open()).log

    def step(record: Record) -> None:
        try:
            known.take(decode(record.value))
        except Garbage:
            return  # `iv3 dead-letters list` shows it

    try:
        await log.fold(JOURNAL, partition_of(household(settings)[0].id, log.partitions[JOURNAL]), 0, None, step)
    finally:
        await log.close()
    return known


def _spelt(doses: list[LegacyRow], insulins: Insulins) -> list[LegacyRow]:
    return [dose._replace(name=insulins.name(dose.name)) for dose in doses]


def _words(kind: str, thing: LegacyRow) -> str:
    unit = {"readings": "mg/dL", "doses": "U", "carbs": "g"}[kind]
    return f"{_iso(thing.time_s)} {thing.amount:g} {unit} {thing.name}".rstrip()


def _iso(time_s: int) -> str:
    return f"{at_ms(time_s * 1000):%Y-%m-%dT%H:%M:%SZ}"


def _print(found: dict[str, Difference], start_s: int, end_s: int) -> None:
    sys.stdout.write(
        f"From {_iso(start_s)} to {_iso(end_s)} (the last {_SETTLED_S // 60} min may be in only one of them yet):\n"
    )
    for kind, difference in found.items():
        only = (len(difference.only_old), len(difference.only_iv3))
        sys.stdout.write(
            f"  {kind}: {difference.both:,} in both, {only[0]:,} only in the old program, {only[1]:,} only in iv3\n"
        )
        for where, things in (("old", difference.only_old), ("iv3", difference.only_iv3)):
            for thing in things[:_MOST_SHOWN]:
                sys.stdout.write(f"    only {where}: {_words(kind, thing)}\n")


def _document(found: dict[str, Difference], start_s: int, end_s: int) -> dict[str, Any]:
    return {
        "from": _iso(start_s),
        "to": _iso(end_s),
        **{
            kind: {
                "both": d.both,
                "only_old": len(d.only_old),
                "only_iv3": len(d.only_iv3),
                "first_only_old": [_words(kind, thing) for thing in d.only_old[:_MOST_SHOWN]],
                "first_only_iv3": [_words(kind, thing) for thing in d.only_iv3[:_MOST_SHOWN]],
            }
            for kind, d in found.items()
        },
    }
