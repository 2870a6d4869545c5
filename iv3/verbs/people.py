"""`iv3 person add|list|suspend|resume`: beside a running iv3 or without one. The log says who is watched, the file of
accounts where and how.
"""

import asyncio
import re
import secrets
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, get_args

import typer
from pydantic import SecretStr, ValidationError
from rich.table import Table

from iv3 import config as configuration
from iv3.assembly.channels import phone_of
from iv3.assembly.log import LogPlace, holds_demo
from iv3.assembly.people import accounts_of, credentials_of, source_of
from iv3.assembly.starting import with_data_folder
from iv3.closing import closing
from iv3.operations.opened import with_catalog, with_door
from iv3.options import AddOptions
from iv3.output import fail, say, warn
from processors.sources.dexcom import Region
from schemas.envelope import SYSTEM, Author
from schemas.facts import ProfileChanged
from schemas.household import Credentials, credentials_in, household, profile_of
from schemas.model import PERSON_ID
from schemas.settings import Settings, WatchedSettings
from streams.clock import SystemClock
from streams.commands.door import Door
from streams.commands.people import resume_person, suspend_person, watch_person
from streams.commands.refusals import NotFound
from streams.errors import AlreadyExists, FailedPrecondition, Misconfigured, SourceRefused, SourceUnreachable
from streams.ports.catalog import Catalog

_AUTHOR = Author("command line", "command line")
_TOPIC_BYTES = 12  # 96 bits: nobody guesses it
_SECRET_BYTES = 4096


def add(options: AddOptions) -> None:
    """Try the account, say in the log that the person is watched, and keep account and phone encrypted. Raises
    Misconfigured.
    """
    data, config, person = options.data, options.config, options.person
    settings = _settings(data, config)
    _refuse_id(person)
    _refuse_configured(settings, options)
    credentials = credentials_of(settings, data)
    kept = credentials.read()
    before = kept.get(person, Credentials())
    _refuse_to_replace_a_phone(options, before)
    said = _watched(options)
    known = _known(data, config)
    mine = credentials_in(said).or_else(before)
    accounts = accounts_of(settings, {**kept, person: mine})  # raises where somebody else has this account
    _refuse_unusable(settings, data, person, mine)
    if options.dexcom_account and not options.no_try:
        _try(settings, data, person, credentials_in(said))
    _watch(options, said, known.get(person))
    if mine != before:
        try:
            credentials.put(person, mine)
        except FailedPrecondition as error:
            raise FailedPrecondition(f"{person} is watched, but account and phone were not kept: {error}") from None
    _warn(options, known)
    _tell_added(options, accounts[person], is_new=person not in known)


def _watch(options: AddOptions, said: WatchedSettings, known: "KnownPerson | None") -> None:
    """Say what is new of the person: that they are watched, and a profile, or what of it was given again."""
    name = said.name if known is None or not known.watched else None
    if known is None or not known.profile:
        profile: ProfileChanged | None = profile_of(said.model_copy(update={"name": said.name or options.person}), "")
    else:
        given = {"name": options.name, "birth_year": options.birth_year, "zone": options.zone, "unit": options.unit}
        changed = {key: value for key, value in given.items() if value and value != getattr(known.profile, key)}
        profile = known.profile.model_copy(update=changed) if changed else None
    with_data_folder(options.data)
    through = partial(watch_person, name=name, profile=profile)
    with_door(options.data, _AUTHOR, options.person, through, options.config, make=True)


def _refuse_to_replace_a_phone(options: AddOptions, before: Credentials) -> None:
    if before.ntfy.topic and (options.own_phone or options.topic_file is not None) and not options.replace_phone:
        raise AlreadyExists(
            f"{options.person} has a phone already, which would hear nothing more. Say --replace-phone if that is "
            f"meant; `iv3 test-alarm --person {options.person}` tries the one that is there."
        )


def _refuse_unusable(settings: Settings, data: Path, person: str, mine: Credentials) -> None:
    """Build what will be built of it, before anything is kept."""
    clock = SystemClock()
    try:
        source_of(settings, data, clock, person, mine)
        phone_of(settings, mine.ntfy, clock)
    except FailedPrecondition as error:
        said = str(error).replace("ntfy.topic must", "The topic must").replace("dexcom.url must", "--dexcom-url must")
        raise FailedPrecondition(f"{said} Nothing was changed.") from None


def _warn(options: AddOptions, known: "Mapping[str, KnownPerson]") -> None:
    """What is no mistake, and may surprise."""
    name = options.name or options.person
    others = ((who, other.profile) for who, other in known.items() if who != options.person)
    same = [who for who, profile in others if profile and profile.name == name]
    if same:
        warn(f"{same[0]} is called {name} too, and alarms begin with the name: give one of them another.")
    if options.config is None and not Path("config.yaml").exists():
        warn("there is no config.yaml here, which `iv3 up` needs: `iv3 init` makes one.")


def _tell_added(options: AddOptions, mine: Credentials, *, is_new: bool) -> None:
    topic = mine.ntfy.topic if options.own_phone else None
    watched = "watched from now on" if is_new else "watched"
    words = [f"{options.person} is {watched}; a running iv3 takes it up within seconds."]
    if not mine.dexcom.account:
        words.append(
            "There is no Dexcom account, so readings come by upload: `iv3 token new --role uploader "
            "--person ...` makes a token."
        )
    if topic is not None:
        words.append(f"Subscribe to this topic in the ntfy app; whoever knows it can read the alarms:\n  {topic}")
    say({"person": options.person, "new": is_new, "topic": topic}, *words, as_json=options.as_json)


def list_people(data: Path, config: Path | None, *, as_json: bool) -> None:
    """Everybody who is known, configured or not."""
    settings = _settings(data, config)
    accounts = accounts_of(settings, credentials_of(settings, data).read())
    known = {person.id: True for person in household(settings)}
    known |= {person: found.watched for person, found in _known(data, config).items()}
    rows, table = [], Table("person", "", "readings from", "who is told")
    for person, watched in sorted(known.items()):
        account = accounts.get(person, Credentials())
        readings = "Dexcom" if account.dexcom.account else "uploads"
        told = "a phone of their own" if account.ntfy.topic else "the house's" if settings.topic else "nobody"
        rows.append({"person": person, "watched": watched, "readings": readings, "told": told})
        table.add_row(person, "watched" if watched else "suspended", readings, told)
    say(rows, table, as_json=as_json)


def suspend(data: Path, config: Path | None, person: str) -> None:
    """End polling and alarms for a person."""
    _through_door(data, config, person, suspend_person)
    sys.stdout.write(
        f"{person} is suspended: no readings are asked for, nobody is alarmed. `iv3 person resume "
        f"{person}` takes it back.\n"
    )


def resume(data: Path, config: Path | None, person: str) -> None:
    """Begin polling and alarms for a person again."""
    _through_door(data, config, person, resume_person)
    sys.stdout.write(f"{person} is watched again.\n")


def _settings(data: Path, config: Path | None) -> Settings:
    if holds_demo(data):
        raise FailedPrecondition(f"{data} is a demo's; its one person is made up, and nobody joins them.")
    settings = configuration.load(config)
    configuration.refuse_unusable(settings)
    return settings


def _refuse_id(person: str) -> None:
    if not re.fullmatch(PERSON_ID, person):
        raise Misconfigured(
            f"{person!r} cannot be an id: 1 to 40 letters, digits, - and _, and a letter or digit first."
        )


def _refuse_configured(settings: Settings, options: AddOptions) -> None:
    """What the configuration says wins, so that what is entered here would count for nothing."""
    for person in household(settings):
        if person.id != options.person:
            continue
        if person.dexcom.account and options.dexcom_account:
            raise AlreadyExists(f"The configuration names the Dexcom account of {person.id} already: change it there.")
        if person.ntfy.topic and (options.own_phone or options.topic_file is not None):
            raise AlreadyExists(f"The configuration names the phone of {person.id} already: change it there.")


def _through_door(data: Path, config: Path | None, person: str, command: Callable[[Door], Awaitable[None]]) -> None:
    known = _known(data, config)  # refuses a demo's folder, and says so before a log is made
    try:
        if person not in known:
            raise NotFound("")
        with_door(data, _AUTHOR, person, command, config)
    except NotFound:
        fail(f"iv3 knows no person {person}; `iv3 person list --data {data}` shows who there is.", 2)


class KnownPerson(NamedTuple):
    """Somebody in the log."""

    watched: bool
    profile: ProfileChanged | None


def _known(data: Path, config: Path | None) -> Mapping[str, KnownPerson]:
    """Everybody in the log."""

    def ask(catalog: Catalog) -> dict[str, KnownPerson]:
        people = catalog.people().items()
        return {who: KnownPerson(watched, catalog.stated_profile(who)) for who, watched in people if who != SYSTEM}

    if not LogPlace(_settings(data, config), data).exists():
        return {}
    return with_catalog(data, ask, config)


def _watched(options: AddOptions) -> WatchedSettings:
    """What the command line says of a person. Raises Misconfigured."""
    account, region = options.dexcom_account, options.dexcom_region
    said: dict[str, Any] = {
        "id": options.person,
        "name": options.name,
        "birth_year": options.birth_year,
        "zone": options.zone,
        "unit": options.unit or "mmol/L",
    }
    if not options.name.isprintable():
        raise Misconfigured("--name must be characters that can be printed: a phone shows it in front of every alarm.")
    if account:
        if region not in get_args(Region):
            raise Misconfigured(f"--dexcom-region is {region!r}; it must be one of {', '.join(get_args(Region))}.")
        password = _password(options)
        said["dexcom"] = {"account": account, "password": password, "region": region, "url": options.dexcom_url}
    topic = _topic(options)
    if topic:
        said["ntfy"] = {"topic": topic}
    try:
        return WatchedSettings.model_validate(said)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = "-".join(str(part).replace("_", "-") for part in first["loc"])
        raise Misconfigured(f"--{place}: {str(first['msg']).removeprefix('Value error, ')}.") from None


def _password(options: AddOptions) -> SecretStr:
    if options.password_file is None:
        if not sys.stdin.isatty():
            raise FailedPrecondition(
                "The Dexcom password is asked for at a terminal; elsewhere name a file with --password-file."
            )
        return SecretStr(typer.prompt(f"Dexcom password of {options.dexcom_account}", hide_input=True, err=True))
    return SecretStr(_secret(options.password_file, "--password-file"))


def _topic(options: AddOptions) -> str:
    if options.own_phone and options.topic_file is not None:
        raise Misconfigured("--own-phone makes a topic, --topic-file names one: choose one of them.")
    if options.own_phone:
        return f"iv3-{secrets.token_hex(_TOPIC_BYTES)}"
    return _secret(options.topic_file, "--topic-file") if options.topic_file is not None else ""


def _secret(path: Path, option: str) -> str:
    """A secret never travels in an argument list: others on the machine can read those."""
    try:
        text = sys.stdin.read(_SECRET_BYTES) if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise FailedPrecondition(f"{option} names {path}, which cannot be read: {why}.") from None
    if not text.strip():
        raise Misconfigured(f"{option} names {path}, which is empty.")
    return text.strip()


def _try(settings: Settings, data: Path, person: str, said: Credentials) -> None:
    """One log-in, with the client and the session file that the poller will use. Raises Misconfigured where Dexcom
    refuses it.
    """
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    source = source_of(settings, data, SystemClock(), person, said)

    async def work() -> int:
        if source is None:
            return 0
        async with closing(source):
            return len((await source.latest(1440, 288, may_log_in=True)).readings)

    try:
        readings = asyncio.run(work())
    except SourceRefused as error:
        raise FailedPrecondition(f"{error} Nothing was changed.") from None
    except SourceUnreachable as error:
        raise FailedPrecondition(
            f"{error} Nothing was changed; --no-try keeps the account without trying it."
        ) from None
    if not readings:
        warn(
            "Dexcom accepts the log-in and has no readings of the last 24 h: is sharing on, with at least one "
            "follower, and the region right?"
        )
