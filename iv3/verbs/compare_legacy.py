"""`iv3 compare seed`: the older Go program, while it still runs, beside iv3's own log."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from pydantic import SecretStr

from api.request.values import iso
from iv3 import config as configuration
from iv3.assembly.legacy import LegacyApi
from iv3.assembly.log import LogPlace
from iv3.closing import closing
from iv3.operations.legacy_settings import insulins_of, source_of
from iv3.options import CompareOptions
from iv3.output import say
from processors.legacy.comparing import Difference, KnownByIv3, LegacyRow, differ
from processors.legacy.moving import Insulins
from schemas.envelope import Garbage, decode
from schemas.household import household
from schemas.settings import Settings
from streams.clock import SystemClock
from streams.errors import FailedPrecondition, Misconfigured
from streams.ports.log import Record
from streams.topics import JOURNAL, partition_of

_SETTLED_S = 600  # the two ask Dexcom at different moments: what is younger may be in only one of them yet
_MOST_SHOWN = 5
_KINDS = ("readings", "doses", "carbs")


def seed(options: CompareOptions) -> None:
    """Ask both, print what differs; exit 1 if anything does. Raises Misconfigured, SourceUnreachable,
    LogUnavailable.
    """
    settings = configuration.load(options.config)
    insulins = insulins_of(settings, options.names or ())
    source, _ = source_of(settings)
    user = options.user or settings.api.username
    if not user:
        raise Misconfigured("--user is missing: api.username of the old program's config.yaml.")
    if LogPlace(settings, options.data).is_demo():
        raise FailedPrecondition(f"{options.data} is a demo's; there is nothing to compare. Name another with --data.")
    api = LegacyApi(options.url, user, _password(options, settings), options.cafile)
    end_s = SystemClock().now_ms() // 1000 - _SETTLED_S
    start_s = end_s - round(options.hours * 3600)

    async def work() -> dict[str, Difference]:
        async with closing(api):
            old = [await api.rows(path, start_s, end_s) for path in ("glucose", "insulin", "carbs")]
        known = KnownByIv3(household(settings)[0].id, source, start_s * 1000, end_s * 1000)
        await _fold(settings, options.data, known)
        new = [known.readings(), known.doses(), known.carbs()]
        old[1], new[1] = _spelt(old[1], insulins), _spelt(new[1], insulins)
        return {kind: differ(one, other) for kind, one, other in zip(_KINDS, old, new, strict=True)}

    found = asyncio.run(work())
    say(_document(found, start_s, end_s), *_words(found, start_s, end_s), as_json=options.as_json)
    if any(d.only_old or d.only_iv3 for d in found.values()):
        raise SystemExit(1)


def _password(options: CompareOptions, settings: Settings) -> SecretStr:
    """From a file, from the configuration, or asked for: never from the command line, which others can see."""
    if options.password_file is not None:
        try:
            return SecretStr(options.password_file.read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            raise FailedPrecondition(f"--password-file {options.password_file} cannot be read: {error}.") from None
    if settings.api.password.get_secret_value():
        return settings.api.password
    return SecretStr(typer.prompt("Password of the old program's API", hide_input=True))


async def _fold(settings: Settings, data: Path, known: KnownByIv3) -> None:
    """Fold the journal as it is on disk, beside whatever runs on it."""

    def step(record: Record) -> None:
        try:
            known.take(decode(record.value))
        except Garbage:
            return  # `iv3 dead-letters list` shows it

    async with LogPlace(settings, data).opened() as log:
        await log.fold(JOURNAL, partition_of(household(settings)[0].id, log.partitions[JOURNAL]), 0, None, step)


def _spelt(doses: list[LegacyRow], insulins: Insulins) -> list[LegacyRow]:
    return [dose._replace(name=insulins.name(dose.name)) for dose in doses]


def _row(kind: str, thing: LegacyRow) -> str:
    unit = {"readings": "mg/dL", "doses": "U", "carbs": "g"}[kind]
    return f"{iso(thing.time_s * 1000)} {thing.amount:g} {unit} {thing.name}".rstrip()


def _words(found: dict[str, Difference], start_s: int, end_s: int) -> Iterator[str]:
    settled = f"(the last {_SETTLED_S // 60} min may be in only one of them yet)"
    yield f"From {iso(start_s * 1000)} to {iso(end_s * 1000)} {settled}:"
    for kind, difference in found.items():
        old, new = len(difference.only_old), len(difference.only_iv3)
        yield f"  {kind}: {difference.both:,} in both, {old:,} only in the old program, {new:,} only in iv3"
        for where, things in (("old", difference.only_old), ("iv3", difference.only_iv3)):
            for thing in things[:_MOST_SHOWN]:
                yield f"    only {where}: {_row(kind, thing)}"


def _document(found: dict[str, Difference], start_s: int, end_s: int) -> dict[str, Any]:
    return {
        "from": iso(start_s * 1000),
        "to": iso(end_s * 1000),
        **{
            kind: {
                "both": d.both,
                "only_old": len(d.only_old),
                "only_iv3": len(d.only_iv3),
                "first_only_old": [_row(kind, thing) for thing in d.only_old[:_MOST_SHOWN]],
                "first_only_iv3": [_row(kind, thing) for thing in d.only_iv3[:_MOST_SHOWN]],
            }
            for kind, d in found.items()
        },
    }
