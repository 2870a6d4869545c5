"""`iv3 doctor` and `iv3 config check`."""

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from iv3 import config as configuration
from iv3.assembly.build import try_adapters
from iv3.assembly.listening import refuse_open_air, tls_context, with_found_certificate
from iv3.doctor.checks import CHECKS
from iv3.doctor.findings import Finding, failed, passed
from iv3.doctor.host import config_file
from schemas.household import household
from schemas.settings import Settings, WatchedSettings
from schemas.units import mmol
from streams.errors import FailedPrecondition, StreamError
from streams.storage.sqlite import SqliteError

_MOST_SHOWN = 10
_MANY_ALARMS_MGDL = 80


def doctor(data: Path, config: Path | None, *, as_json: bool) -> None:
    """Run every check; exit 1 if one of them is serious, 2 if the configuration cannot be loaded at all."""
    findings = asyncio.run(_all(data, config))
    if as_json:
        sys.stdout.write(json.dumps([asdict(finding) for finding in findings]) + "\n")
    else:
        console = Console(highlight=False, soft_wrap=True)
        for finding in findings:
            mark = "[green]✓[/green]" if finding.ok else "[red]✗[/red]" if finding.serious else "[yellow]![/yellow]"
            console.print(f"{mark} [bold]{finding.name}[/bold]  ", end="")
            console.print(finding.message, markup=False)
    if any(not finding.ok and finding.name == "configuration" for finding in findings):
        raise SystemExit(2)
    if any(not finding.ok and finding.serious for finding in findings):
        raise SystemExit(1)


async def _all(data: Path, config: Path | None) -> list[Finding]:
    try:
        settings = with_found_certificate(configuration.load(config))
        configuration.refuse_unusable(settings)
    except FailedPrecondition as error:
        return [failed("configuration", line) for line in str(error).splitlines()]
    findings = [_usable(settings), *config_file(config or Path("config.yaml"))]
    for check in CHECKS:
        try:
            findings += await check(settings, data)
        except FailedPrecondition as error:
            findings.append(failed("configuration", str(error)))
        except (StreamError, OSError, SqliteError) as error:
            # What is wrong must not keep the doctor from looking on.
            findings.append(failed(check.__name__, f"This could not be looked at: {error}"))
    return findings


def _usable(settings: Settings) -> Finding:
    try:
        try_adapters(settings)
    except FailedPrecondition as error:
        return failed("configuration", str(error))
    return passed("configuration", "The configuration can be used.")


def config_check(config: Path | None, *, as_json: bool) -> None:
    """Say what the configuration means; no secret is printed. Raises FailedPrecondition."""
    if config is None and not Path("config.yaml").exists():
        sys.stdout.write(
            "There is no config.yaml here; this is what the defaults and the environment give. `iv3 init` makes one.\n"
        )
    settings = with_found_certificate(configuration.load(config))
    configuration.refuse_unusable(settings)
    try_adapters(settings)
    refuse_open_air(settings.api.host, tls=tls_context(settings) is not None)
    if as_json:
        sys.stdout.write(json.dumps(settings.model_dump(mode="json"), indent=1) + "\n")
    else:
        sys.stdout.write("\n".join(meaning(settings)) + "\n")


def meaning(settings: Settings) -> list[str]:
    """The configuration in sentences."""
    people = household(settings)
    lines = ["The configuration can be used. It means:"]
    for person in people[:_MOST_SHOWN]:
        if len(people) > 1:
            lines.append(f" {person.id}{f' ({person.name})' if person.name else ''}")
        lines += _meant_for(settings, person)
    if len(people) > _MOST_SHOWN:
        lines.append(f" and {len(people) - _MOST_SHOWN} more people")
    lines += [" everybody"] if len(people) > 1 else []
    series = "SQLite, in the data folder"
    if settings.series == "influxdb":
        series = f"InfluxDB at {settings.influxdb.url}, asked for as {settings.influxdb.database}"
    return [*lines, f"  Series   {series}", f"  Archive  {_archive(settings)}"]


def _meant_for(settings: Settings, person: WatchedSettings) -> list[str]:
    low, high = person.low_threshold or 70.0, person.high_threshold or 240.0
    dexcom = person.dexcom
    source = "no account; readings come from uploaders"
    if dexcom.account:
        source = f"account {dexcom.account} ({dexcom.region})"
    told = "ALARMS ARE OFF: neither ntfy.topic nor iv3.endpoint is set"
    if person.ntfy.topic:
        told = f"to a phone of their own at {person.ntfy.server or settings.ntfy.server}"
    elif settings.topic:
        told = f"to a topic at {settings.ntfy.server}"
    if settings.alerts == "shadow":
        told += "; ALARMS ARE IN SHADOW: decided, not sent"
    hours = person.missing_long_threshold
    names = [f"{i.name} ({i.period_type or 'type missing: counts for nothing'})" for i in person.insulin]
    unset = "UTC (person.zone is not set)" if person.id == settings.person.id else "UTC (their zone is not set)"
    many = f"           Foreseen lows below {low:g} mg/dL mean many alarms a day for most people; 0 stands for 70."
    return [
        f"  Dexcom   {source}" + (", SIMULATED SOURCE" if dexcom.url else ""),
        f"  Alarms   {told}",
        f"  Low      urgent at 55 mg/dL (3.1) or less, low below 70 (3.9), foreseen below {low:g} ({mmol(low)})",
        *([many] if low > _MANY_ALARMS_MGDL else []),
        f"  High     above {high:g} mg/dL ({mmol(high)}) for an hour",
        f"  Long     {f'no long-acting dose logged for {hours:g} h' if hours else 'never alarmed about'}",
        f"  Insulins {', '.join(names) or 'none'}",
        f"  Shown    in {person.unit}, times in {person.zone or unset}",
    ]


def _archive(settings: Settings) -> str:
    if settings.archive != "s3":
        return settings.archive
    where = settings.s3.endpoint or f"Amazon S3 in {settings.s3.region}"
    return f"bucket {settings.s3.bucket} at {where}, below {settings.s3.prefix.strip('/') or 'its root'}"
