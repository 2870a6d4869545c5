"""What usually goes wrong with a person: no zone, an insulin of no type, a Dexcom account that does not let iv3 in."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from iv3.assembly.log import LogPlace
from iv3.assembly.people import accounts_of, credentials_of, source_of
from iv3.closing import closing
from iv3.doctor.findings import Finding, failed, noticed, passed
from schemas.envelope import decode, peek_type
from schemas.facts import SourceStateChanged
from schemas.household import Credentials, credentials_in, household
from schemas.model import ms
from schemas.settings import Settings, WatchedSettings
from streams.clock import SystemClock
from streams.errors import FailedPrecondition, SourceRefused, SourceUnreachable, Transient
from streams.ports.log import Record
from streams.topics import JOURNAL, partition_of

_LOOK_BACK = 5_000  # records; log-in states are written at every start and change
_SKEW_S = 60.0
_MOST_TRIED = 5  # accounts: a log-in each, and Dexcom is asked to be patient


async def profiles(settings: Settings, _data: Path) -> list[Finding]:
    """Zone and insulins of everybody in the configuration."""
    people = household(settings)
    return [finding for person in people for finding in _profile(settings, person, alone=len(people) == 1)]


def _profile(settings: Settings, person: WatchedSettings, *, alone: bool) -> Iterator[Finding]:
    whose = "" if alone else f"{person.id}: "
    host_utc = datetime.now(UTC).astimezone().utcoffset() == datetime.now(UTC).utcoffset()
    if person.zone is None:
        key = "person.zone" if person.id == settings.person.id else "zone"
        more = " This machine runs in UTC, so there is nothing to go by." if host_utc else ""
        said = f"{whose}{key} is not set: times are shown in UTC. Write it like Europe/Berlin.{more}"
        yield noticed("no-zone", said)
    else:
        yield passed("no-zone", f"{whose}Times are shown in {person.zone}.")
    nameless = [insulin.name for insulin in person.insulin if not insulin.period_type]
    if nameless:
        said = f"{whose}{', '.join(nameless)}: period_type is missing (short or long), so its doses count for nothing."
        yield noticed("insulin-type", said)
    if person.missing_long_threshold and not any(insulin.period_type == "long" for insulin in person.insulin):
        said = f"{whose}missing_long_threshold is set, but no insulin has period_type: long; nobody would be told."
        yield noticed("no-long-acting", said)


async def accounts(settings: Settings, data: Path) -> list[Finding]:
    """One log-in at most for each account, and none while the journal, or what an earlier refusal left here, says to
    wait. Raises FailedPrecondition.
    """
    kept = accounts_of(settings, credentials_of(settings, data).read())
    known = {person: said for person, said in kept.items() if said.dexcom.account}
    if not known:
        said = "No Dexcom account is configured; readings come only from uploaders."
        return [noticed("no-dexcom", said)]
    found = []
    for person, credentials in list(known.items())[:_MOST_TRIED]:
        whose = f"{person}: " if len(kept) > 1 else ""
        tried = await _account(settings, data, person, credentials)
        found += [Finding(f.name, f.ok, f"{whose}{f.message}", f.serious) for f in tried]
    if len(known) > _MOST_TRIED:
        more = f"{len(known) - _MOST_TRIED} more accounts were not tried; their pages say how each one answers."
        found.append(passed("dexcom-more", more))
    return found


async def dexcom(settings: Settings, data: Path) -> list[Finding]:
    """The first person's account alone."""
    first = household(settings)[0]
    if not first.dexcom.account:
        return []
    return await _account(settings, data, first.id, credentials_in(first))


async def _account(settings: Settings, data: Path, person: str, credentials: Credentials) -> list[Finding]:
    wait_ms = await _no_login_before(settings, data, person)
    if wait_ms is not None and wait_ms > time.time() * 1000:
        until = datetime.fromtimestamp(wait_ms / 1000, UTC).strftime("%H:%M UTC")
        said = (
            f"Dexcom refused the last log-in; none is tried before {until}, so that the account is not "
            "locked. Check dexcom.password."
        )
        return [failed("dexcom-refused", said)]
    source = source_of(settings, data, SystemClock(), person, credentials)
    if source is None:
        return []
    try:
        async with closing(source):
            fetched = await source.latest(1440, 288, may_log_in=True)
    except SourceRefused as error:
        return [failed("dexcom-refused", f"{error}")]
    except SourceUnreachable as error:
        return [failed("dexcom-unreachable", f"{error}")]
    found = [passed("dexcom-refused", "Dexcom accepts the log-in.")]
    if fetched.readings:
        age_min = (time.time() * 1000 - fetched.readings[-1].time_ms) / 60_000
        said = f"{len(fetched.readings)} readings in 24 h, the newest {age_min:.0f} min old."
        found.append(passed("dexcom-empty", said))
    else:
        said = (
            "Dexcom answers, but has no readings: is sharing on, with at least one follower? Is this the account that "
            "shares? Is dexcom.region right (us, ous, jp)?"
        )
        found.append(failed("dexcom-empty", said))
    return [*found, *_clock(fetched.server_time_ms)]


def _clock(server_ms: int | None) -> list[Finding]:
    if server_ms is None:
        return []
    skew_s = time.time() - server_ms / 1000
    if abs(skew_s) > _SKEW_S:
        said = (
            f"This machine's clock is {skew_s:+.0f} s off Dexcom's: switch time synchronisation on "
            "(timedatectl set-ntp true)."
        )
        return [failed("clock-wrong", said)]
    return [passed("clock-wrong", "This machine's clock is right.")]


async def _no_login_before(settings: Settings, data: Path, person: str) -> int | None:
    """When the journal allows the next log-in, wherever the journal lies; None where it says nothing, or cannot be read
    now.
    """
    place = LogPlace(settings, data)
    if not place.exists():
        return None
    allowed: list[int | None] = [None]

    def step(record: Record) -> None:
        if record.key != person.encode() or not peek_type(record.value).startswith(b"iv3.source-state."):
            return
        state = decode(record.value).data
        if isinstance(state, SourceStateChanged):
            allowed[0] = ms(state.no_login_before) if state.no_login_before else None

    try:
        log = (await place.open()).log
    except (FailedPrecondition, Transient):
        return None
    async with closing(log):
        partition = partition_of(person, log.partitions[JOURNAL])
        head = log.heads[JOURNAL, partition]
        await log.fold(JOURNAL, partition, max(0, head - _LOOK_BACK), head, step)
    return allowed[0]
