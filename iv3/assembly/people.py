"""People: the roster as configuration and the file of accounts make it, and followed while iv3 runs, so that `iv3
person add` needs no restart.
"""

import asyncio
import hashlib
import logging
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from iv3.assembly.channels import phone_of
from iv3.assembly.listening import is_here
from iv3.assembly.plan import StartPlan
from schemas.household import Credentials, credentials_in, household
from schemas.settings import DexcomSettings, Settings
from streams.adapters.credentials import CredentialsFile, Stamp
from streams.adapters.sources.dexcom import DexcomShare
from streams.clock import SharedClock
from streams.delivery.channels import Channels
from streams.errors import FailedPrecondition, Misconfigured, NotFound
from streams.ports.clock import Clock
from streams.ports.notifier import Notifier
from streams.ports.source import GlucoseSource
from streams.roster import Roster, Watched
from streams.runtime.backoff import rest

logger = logging.getLogger("iv3.people")

LOOK_S = 2.0  # how soon a person who was added is asked for
_LAST_CALL_S = 15.0  # a request of a source that is let go takes at most 10


def credentials_of(settings: Settings, data: Path) -> CredentialsFile:
    """The file of accounts that the configuration names. Without any I/O. Raises Misconfigured."""
    said = settings.credentials
    path = Path(said.file).expanduser() if said.file else data / "credentials.enc"
    return CredentialsFile(path, path.with_name("credentials.key"), said.key)


def accounts_of(settings: Settings, kept: Mapping[str, Credentials]) -> dict[str, Credentials]:
    """Everybody's account and phone: as configured, and else as the file of accounts has it. Raises Misconfigured where
    two people share an account.
    """
    found = {person.id: credentials_in(person) for person in household(settings)}
    for person, more in kept.items():
        found[person] = found.get(person, Credentials()).or_else(more)
    owners: dict[tuple[str, str], str] = {}
    for person, said in found.items():
        if not said.dexcom.account:
            continue
        other = owners.setdefault((said.dexcom.region, said.dexcom.account.lower()), person)
        if other != person:
            raise FailedPrecondition(
                f"{other} and {person} have the same Dexcom account. Its readings can be only one person's: "
                f"`iv3 person add {person}` with another account, or take it out of config.yaml."
            )
    return found


class People:
    """Keeps the roster. `follow` is a service; `close` ends every client that it made."""

    def __init__(self, plan: StartPlan, channels: Channels) -> None:
        """Reads the file of accounts. Raises Misconfigured."""
        self._plan = plan
        self._credentials = None if plan.demo else credentials_of(plan.settings, plan.data)
        self._made: dict[str, tuple[Credentials, Watched]] = {}
        self._stamp: Stamp | None = self._credentials.stamp() if self._credentials is not None else None
        self.trouble = ""
        self.troubles: dict[str, str] = {}  # person -> why what is kept of them cannot be used
        self._leaving: list[tuple[float, GlucoseSource | Notifier]] = []
        self.roster = Roster(self._build(self._first_look()), channels.targets)

    def _first_look(self) -> dict[str, Credentials]:
        """What the file of accounts has. One that cannot be opened takes nobody else's alarms away: iv3 runs, and says
        so on every page and phone.
        """
        if self._credentials is None:
            return {}
        try:
            return self._credentials.read()
        except FailedPrecondition as error:
            self.trouble, self._stamp = str(error), None  # it is looked at again, also if only the key is put right
            logger.error("iv3 runs without the people whom `iv3 person add` was told of: %s", error)  # noqa: TRY400 - the sentence says it all
            return {}

    async def follow(self, stopping: asyncio.Event) -> None:
        """Take up what the file of accounts says whenever it is replaced. One that cannot be read changes nothing."""
        while not stopping.is_set():
            await rest(stopping, LOOK_S)
            await self._see_off(asyncio.get_running_loop().time())
            try:
                await self._look()
            except FailedPrecondition as error:
                if str(error) != self.trouble:
                    logger.error("people stay as they were: %s", error)  # noqa: TRY400 - the sentence says it all
                self.trouble = str(error)

    async def _look(self) -> None:
        if self._credentials is None:
            return
        stamp = await asyncio.to_thread(self._credentials.stamp)
        if stamp == self._stamp:
            return
        if stamp is None:
            path = self._credentials.path
            raise NotFound(f"{path} is gone; put it back, or enter the accounts again with `iv3 person add`.")
        before = _adapters(watched for _, watched in self._made.values())
        people = self._build(await asyncio.to_thread(self._credentials.read))
        self._stamp, self.trouble = stamp, ""
        self.roster.replace(people)
        kept = {id(adapter) for adapter in _adapters(people.values())}
        leaves_at = asyncio.get_running_loop().time() + _LAST_CALL_S
        self._leaving += [(leaves_at, adapter) for adapter in before if id(adapter) not in kept]

    async def _see_off(self, now: float) -> None:
        """Close the clients of those who left, once no request of theirs can be under way any more."""
        for leaves_at, adapter in list(self._leaving):
            if leaves_at <= now:
                self._leaving.remove((leaves_at, adapter))
                await adapter.close()

    def _build(self, kept: Mapping[str, Credentials]) -> dict[str, Watched]:
        """Clients for everybody; those whose settings did not change are the ones that were there."""
        made: dict[str, tuple[Credentials, Watched]] = {}
        for person, said in accounts_of(self._plan.settings, kept).items():
            known = self._made.get(person)
            made[person] = known if known is not None and known[0] == said else (said, self._usable(person, said))
        self._made = made
        return {person: watched for person, (_, watched) in made.items()}

    def _usable(self, person: str, said: Credentials) -> Watched:
        """The person's clients; where one cannot be made, the person is without it, and everybody else as before."""
        self.troubles.pop(person, None)
        source, target = None, None
        try:
            plan = self._plan
            source = source_of(plan.settings, plan.data, plan.clock, person, said, url=self._url(person))
            target = phone_of(plan.settings, said.ntfy, plan.clock)
        except FailedPrecondition as error:
            self.troubles[person] = f"{error} Enter it again: `iv3 person add {person}`."
            logger.error("what is kept of %s cannot be used: %s", person, error)  # noqa: TRY400 - the sentence says it all
        return Watched(source, target)

    def source_title(self, person: str) -> str:
        """The name of the service that this person is asked for at, as people read it; empty where nobody is asked."""
        source = self.roster.source(person)
        if source is None:
            return ""
        return "Simulator" if self._plan.demo else source.title

    def simulated(self, person: str) -> bool:
        """Whether this person's readings come from anywhere but Dexcom's own servers."""
        found = self._made.get(person)
        return bool(self._url(person) or (found is not None and found[0].dexcom.account and found[0].dexcom.url))

    def _url(self, person: str) -> str | None:
        """Whose server stands in for Dexcom's, in a demo."""
        return self._plan.dexcom_url if person == self._plan.person else None

    async def close(self) -> None:
        """Close every client."""
        await self._see_off(math.inf)
        for adapter in _adapters(watched for _, watched in self._made.values()):
            await adapter.close()


def _adapters(people: Iterable[Watched]) -> list[GlucoseSource | Notifier]:
    return [adapter for of in people for adapter in (of.source, of.target) if adapter is not None]


def source_of(
    settings: Settings, data: Path, clock: Clock, person: str, said: Credentials, *, url: str | None = None
) -> GlucoseSource | None:
    """Where one person's readings are asked for, None where there is no account; `url` stands in for the server's.
    Raises Misconfigured.

    The first person's session lies where it always lay; each other's in a folder of its own.
    """
    dexcom = said.dexcom
    if not dexcom.account:
        return None
    address = url or dexcom.url
    _refuse_simulated(clock, person, address)
    folder = data if person == household(settings)[0].id else data / "dexcom" / session_name(dexcom)
    return DexcomShare(
        username=dexcom.account,
        password=dexcom.password,
        region=dexcom.region,
        session_file=folder / "dexcom-session.json",
        base_url=address,
        now_ms=clock.now_ms,
    )


def session_name(dexcom: DexcomSettings) -> str:
    """The folder of an account's session, which does not tell whose it is."""
    return hashlib.sha256(f"{dexcom.region}{dexcom.account.lower()}".encode()).hexdigest()[:16]


def _refuse_simulated(clock: Clock, person: str, url: str | None) -> None:
    """At a made-up time nobody real is asked."""
    if isinstance(clock, SharedClock) and not is_here(url or ""):
        raise Misconfigured(f"--clock is for simulations: the Dexcom address of {person} must then be on this machine.")
