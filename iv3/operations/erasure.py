"""The steps of `iv3 person erase`, in an order in which a stop at any moment leaves the old log whole, or a state that
the same command ends.

`DATA/erasing.json` says how far it is. On SQLite the copy takes the old log's place by one rename. On Kafka the copy in
the data folder is the log from the moment the topics are deleted until they are made anew and every record in them was
compared.
"""

import json
import shutil
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from iv3.assembly.log import ERASING, LOG_FILE, LogPlace, new_log_file
from iv3.assembly.people import accounts_of, credentials_of, session_name
from iv3.assembly.series import series_store
from iv3.closing import closing
from schemas.envelope import NewerVersion
from schemas.household import Credentials, household
from schemas.settings import Settings
from streams.copies.erase_archive import ArchiveTraces, archive_anew, find, foreign, forget
from streams.copies.erase_person import Erasing, LogTraces, fill
from streams.errors import FailedPrecondition, InUse, LogUnavailable, Misconfigured, NotFound
from streams.ports.archive import Archive
from streams.ports.log import Log
from streams.runtime.heartbeats import carry_switch
from streams.storage.files import RESERVE_BYTES, free_bytes, sync_folder, write_durably
from streams.storage.versions import POINTER
from streams.topics import ARCHIVED, JOURNAL
from streams.views.replay import ReplayReport, replay

WORKSHOP = ".erasing"
_DERIVED = ("series-*.db*", "catalog-*.db*", POINTER)
# Of commands that were killed: whole logs may lie there.
_SCRATCH = (".restoring", ".restoring-to-kafka", ".copying", ".drill")
_OF_THE_SOURCE = ("dexcom-session.json*", "dexcom-refusals.json*")
Bar = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]


@dataclass
class ErasureNote:
    """How far an erasure is. `copying`: the old log is in its place, and nothing counts yet. `remaking`: Kafka's topics
    are deleted and made anew, and the copy in the workshop is the log. `clearing`: the new log is in its place, and
    what is left of the old goes.
    """

    person: str
    phase: str
    erased_ms: int
    old_log: str
    new_log: str = ""
    topics: dict[str, str] = field(default_factory=dict)  # of the old log on Kafka: name -> id
    earlier: list[str] = field(default_factory=list)  # logs of the archive that go besides
    theirs: dict[str, int] = field(default_factory=dict)
    mentions: int = 0
    tokens: dict[str, str] = field(default_factory=dict)


@dataclass
class Done:
    """What a finished erasure did."""

    note: ErasureNote
    objects: int = 0  # of the archive
    objects_left: list[str] = field(default_factory=list)  # where the old logs lay, named by no manifest
    buckets: list[str] = field(default_factory=list)  # of InfluxDB, deleted
    # Those that hold the person and are of a log that this one knows nothing of.
    buckets_left: list[str] = field(default_factory=list)
    replayed: ReplayReport | None = None


def read_note(data: Path) -> ErasureNote | None:
    """The note of an erasure that was begun; None where there is none. Raises Misconfigured if it cannot be read."""
    try:
        return ErasureNote(**json.loads((data / ERASING).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise FailedPrecondition(
            f"{data / ERASING} cannot be read ({error}): an erasure was begun there by another release."
        ) from None


def is_under_way(place: LogPlace, note: ErasureNote) -> bool:
    """Whether the old log is not in its place any more, so that this erasure must be ended before another is begun."""
    return note.phase != "copying" or bool(note.new_log and place.file_id() == note.new_log)


class Erasure:
    """One run of the command. `demo` as the log is stamped."""

    def __init__(
        self, data: Path, settings: Settings, archive: Archive | None, person: str, bar: Bar, *, demo: bool
    ) -> None:
        self.data, self.settings, self.archive, self.person, self.demo = data, settings, archive, person, demo
        self._bar, self._workshop = bar, data / WORKSHOP
        self.place = LogPlace(settings, data)

    # -- looking -----------------------------------------------------------------------------------

    async def find_traces(self, give_up: Collection[str] = ()) -> tuple[LogTraces, ArchiveTraces]:
        """What there is of the person, in log and archive (`give_up`: see `find`). Changes nothing.

        Raises Misconfigured, LogUnavailable, ArchiveUnavailable, ArchiveDamaged.
        """
        if not await self.place.has_topics():
            raise NotFound(f"There is no log of iv3 at {self.settings.log}.")
        async with self.place.opened(demo=self.demo) as log:
            erasing = Erasing(log, self.person)
            await erasing.open()
            with self._bar("Looking") as progress:
                found = await erasing.find_traces(progress)
            if self.archive is None:
                return found, ArchiveTraces()
            return found, await find(self.archive, log, self.person, give_up)

    # -- erasing -----------------------------------------------------------------------------------

    async def run(self, note: ErasureNote | None, now_ms: int, earlier: list[str]) -> Done:
        """Begin, or go on from where an interrupted run was. Raises Misconfigured, and what log, archive and series
        raise.
        """
        credentials_of(self.settings, self.data).read()  # what cannot be opened now cannot be cleared at the end
        async with closing(series_store(self.settings, self.data, "")) as store:
            await store.check()
        if note is not None and is_under_way(self.place, note):
            if note.phase == "copying":
                note.phase = "clearing"  # it was stopped between the rename and the note of it
                self._save(note)
        else:
            note = await self._copy(note, now_ms, earlier)
        if not self.place.on_kafka:
            self.place.take_sign_down()
        if note.phase == "remaking":
            await self._remake(note)
        return await self._clear(note)

    def _save(self, note: ErasureNote) -> None:
        write_durably(self.data / ERASING, json.dumps(asdict(note)).encode())

    async def _copy(self, before: ErasureNote | None, now_ms: int, earlier: list[str]) -> ErasureNote:
        """The copy, compared and archived, in the place of the old log; on Kafka, in the workshop."""
        if not self.place.on_kafka:
            self.place.take_sign_down()
            self._refuse_full_disk()
        if before is not None and before.new_log and self.archive is not None and not self.place.on_kafka:
            await forget(self.archive, [before.new_log], before.old_log)  # of a try that came to nothing
        shutil.rmtree(self._workshop, ignore_errors=True)
        async with self.place.opened(demo=self.demo) as source:
            if self.place.on_kafka:
                await self.place.refuse_members(source.log_id)
            copied = new_log_file(self._workshop / LOG_FILE, demo=self.demo, partitions=source.partitions[JOURNAL])
            async with closing(copied) as target:
                note = ErasureNote(self.person, "copying", now_ms, source.log_id, target.log_id, earlier=earlier)
                self._save(note)
                erasing = Erasing(source, self.person)
                await erasing.open()
                with self._bar("Copying, then comparing") as progress:
                    found = await erasing.write(target, target.log_id, now_ms, progress)
                await carry_switch(source, target)
                note.theirs, note.mentions, note.tokens = dict(found.theirs), found.mentions, found.tokens
                self._save(note)
                if self.archive is not None and not self.place.on_kafka:
                    with self._bar("Archiving, then comparing") as progress:
                        await archive_anew(target, self.archive, progress, say=False)
            if await erasing.has_grown():
                raise InUse(
                    "Somebody wrote to the log meanwhile. Nothing was changed. Stop it, and run the same command again."
                )
            if self.place.on_kafka:
                await self.place.refuse_members(source.log_id)
                note.topics, note.phase = await self.place.topic_ids(), "remaking"
                self._save(note)
                return note
        self.place.replace_by(self._workshop / LOG_FILE, erasing.heads)
        note.phase = "clearing"
        self._save(note)
        return note

    def _refuse_full_disk(self) -> None:
        size = sum(path.stat().st_size for path in self.data.glob("log.db*"))
        room = free_bytes(self.data) - RESERVE_BYTES
        if size > room:
            raise FailedPrecondition(
                f"The copy needs about {size >> 20} MiB in {self.data}, and {max(0, room) >> 20} are left "
                "beside the reserve. Free some space first."
            )

    # -- Kafka -------------------------------------------------------------------------------------

    async def _remake(self, note: ErasureNote) -> None:
        """Delete what is left of the old topics, make them anew, and fill them from the workshop, which stays until
        every record was compared.
        """
        old = [name for name, there in (await self.place.topic_ids()).items() if note.topics.get(name) == there]
        async with closing(new_log_file(self._workshop / LOG_FILE)) as copied:
            if set(old) == set(note.topics):
                await self._refuse_grown(note, copied)
            if old:
                await self.place.delete_topics(old)
            kafka = self.settings.kafka.model_copy(update={"partitions": copied.partitions[JOURNAL]})
            settings = self.settings.model_copy(update={"kafka": kafka})
            async with LogPlace(settings, self.data).opened(erasing=True) as log:
                if log.log_id == note.old_log:
                    raise LogUnavailable("Kafka still shows the old topics. Run the same command again.")
                with self._bar("Filling the new topics, then comparing") as progress:
                    await fill(copied, log, progress)
                await carry_switch(copied, log)
                note.new_log, note.phase = log.log_id, "clearing"
                self._save(note)

    async def _refuse_grown(self, note: ErasureNote, copied: Log) -> None:
        """The last look before the old topics go: between a run that was killed and this one, workers elsewhere may
        have gone on writing to them.
        """
        async with self.place.opened(erasing=True) as log:
            await self.place.refuse_members(log.log_id)
            heads = await log.latest(ARCHIVED)
        if log.log_id != note.old_log or any(head != copied.heads.get(place, 0) for place, head in heads.items()):
            note.phase = "copying"
            self._save(note)
            raise InUse(
                "Somebody wrote to the log since it was copied. Nothing was deleted. Stop every iv3, and "
                "run the same command again: it copies anew."
            )

    # -- clearing ----------------------------------------------------------------------------------

    async def _clear(self, note: ErasureNote) -> Done:
        """Everything of the old log goes, but for the note, which is last. Every step may be done again."""
        done = Done(note)
        shutil.rmtree(self._workshop, ignore_errors=True)
        async with self.place.opened(demo=self.demo) as log:
            if log.log_id != note.new_log:
                raise FailedPrecondition(
                    f"The log is {log.log_id}, and neither the one that {self.person} was taken out of nor the one "
                    f"that was made. If that is meant, delete {self.data / ERASING} and run the same command again."
                )
            if self.archive is not None:
                await self._clear_archive(log, note, self.archive, done)
            for name in _SCRATCH:
                shutil.rmtree(self.data / name, ignore_errors=True)
            _delete(self.data, _DERIVED)
            await self._clear_series(log, note, done)
        forget_credentials(self.settings, self.data, self.person)
        (self.data / ERASING).unlink()
        sync_folder(self.data)
        return done

    async def _clear_archive(self, log: Log, note: ErasureNote, archive: Archive, done: Done) -> None:
        with self._bar("Archiving, then comparing") as progress:
            await archive_anew(log, archive, progress, say=True)
        names = [note.old_log, *note.earlier]
        done.objects = await forget(archive, names, log.log_id)
        for name in names:
            await archive.sweep(f"v1/{name}")
        done.objects_left = await foreign(archive, names)

    async def _clear_series(self, log: Log, note: ErasureNote, done: Done) -> None:
        async with closing(series_store(self.settings, self.data, log.log_id)) as store:
            try:
                done.buckets = await store.forget_logs([note.old_log, *note.earlier])
                with self._bar("Replaying the log") as progress:
                    done.replayed = await replay(log, self.data, store, progress)
                done.buckets_left = await store.holding(self.person)
            except NewerVersion as error:
                raise Misconfigured(
                    f"{self.person} is out of log and archive, but the charts cannot be made anew: "
                    f"{error}. Then run the same command again."
                ) from error


def _delete(folder: Path, patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def forget_credentials(settings: Settings, data: Path, person: str) -> None:
    """The end of every erasure: account and phone in the file of accounts, and the person's sessions at Dexcom. Doing
    it twice is harmless. Raises Misconfigured.
    """
    credentials, people = credentials_of(settings, data), household(settings)
    account = accounts_of(settings, credentials.read()).get(person, Credentials()).dexcom
    if account.account:
        shutil.rmtree(data / "dexcom" / session_name(account), ignore_errors=True)
    if people[0].id == person:
        _delete(data, _OF_THE_SOURCE)
    credentials.remove(person)
