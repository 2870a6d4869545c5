"""Entries: logged, corrected, deleted, taken back. A key makes a write that is sent twice one entry; a revision makes
two changes at once one of them.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from processors.dose_checks import LOOK_BACK_MS, doubt_about
from processors.entries import TYPES, EntryVersion
from schemas.facts import Entry, EntryCorrected, EntryDeleted, EntryRestored, InsulinTaken, content_of
from schemas.identity import change_id, digest, entry_id, legacy_entry_id, request_key
from schemas.model import Fact, at_ms
from streams.commands.door import Door
from streams.commands.refusals import BadValue, Conflict, NeedsConfirmation, NotFound
from streams.errors import LogOutcomeUnknown
from streams.ports.log import Position
from streams.topics import JOURNAL

# Two people who write the key "1" mean two entries, so a key counts within its token. A UUID is nobody else's: the
# phone that kept an entry over a new sign-in sends it under another token, and it is the same entry all the same
# (docs/decisions/0006-random-keys.md).
_RANDOM_KEY = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_MOST_AROUND = 5_000  # doses within eight days of one
_SEND_AGAIN = "iv3 is still reading its log; nothing was written, send it again."
SAME_WITHIN_MS = 30_000  # an equal write without a key, this soon after the first, is the same one, sent again


class Written(NamedTuple):
    """An entry that is in the log. `position` is None for one of which that is not known any more."""

    entry_id: str
    position: Position | None
    repeated: bool = False


# -- made ------------------------------------------------------------------------------------------


async def log_entry(
    door: Door, key: str, told: str, fact: Fact, *, time_ms: int | None = None, confirmed: bool = False
) -> Written:
    """Log what happened at `time_ms`, or now. The same key with the same content (`told` is its digest) is the same
    entry.

    Raises Conflict (`key_reused`), NeedsConfirmation, BadValue, NotReadYet, and as `Log.append`.
    """
    owner = "" if _RANDOM_KEY.fullmatch(key) else door.owner
    requestkey = request_key(door.person, owner, key)
    name = entry_id(door.person, owner, key, told)
    async with door.locks.hold(requestkey):
        # Whether this key was used cannot be told before, and guessing would count a dose twice.
        await door.refuse_unread("iv3 is still reading its log; send it again with the same key.")
        known = door.catalog.entry_by_request(requestkey)
        if known is not None:
            return _repeated(door, known, name)
        now_ms = door.clock.now_ms()
        happened_ms = time_ms if time_ms is not None else now_ms
        door.refuse_odd_time(happened_ms)
        if not confirmed:
            _ask(door, fact, happened_ms)
        event = door.author.say(fact, name, door.person, now_ms, time_ms=happened_ms, requestkey=requestkey)
        return Written(name, await door.append_one(event))


def _repeated(door: Door, known: EntryVersion, name: str) -> Written:
    if known.id != name:
        raise Conflict(
            "This Idempotency-Key was used for another entry; use a new one for each entry.",
            code="key_reused",
            field="Idempotency-Key",
        )
    origin = door.catalog.created(known.id)
    position = Position(JOURNAL, origin.partition, origin.offset) if origin is not None else None
    return Written(known.id, position, repeated=True)


def _ask(door: Door, fact: Fact, time_ms: int, *, but: str = "") -> None:
    """Raises NeedsConfirmation for a dose that looks like a mistake beside what is logged already."""
    if not isinstance(fact, InsulinTaken):
        return
    now_ms, first, last = door.clock.now_ms(), time_ms - LOOK_BACK_MS, time_ms + LOOK_BACK_MS
    logged = door.catalog.entries(door.person, first, last, _MOST_AROUND, kinds=("insulin",))
    others = [entry for entry in logged if entry.id != but]
    doubt = doubt_about(fact, time_ms, door.author.actor, door.catalog.profile(door.person), others, now_ms)
    if doubt is not None:
        raise NeedsConfirmation(doubt, now_ms)


async def log_without_key(door: Door, fact: Fact, kind: str, time_s: int, value: float, name: str) -> Written:
    """Log what a client wrote that sends no key: an equal write within half a minute is the same one, sent again.
    Raises BadValue, NotReadYet, and as `Log.append`.
    """
    now_ms = door.clock.now_ms()
    door.refuse_odd_time(time_s * 1000, named="ts")
    # Which of equal writes this is cannot be told before: a second dose would be taken for the first, sent again.
    await door.refuse_unread(_SEND_AGAIN)
    ordinal = 0
    while True:  # the first id that is free, or that was made within the last half minute
        entry = legacy_entry_id(door.person, kind, time_s, value, name, ordinal)
        origin = door.catalog.created(entry)
        if origin is None:
            break
        if now_ms - origin.recorded_ms <= SAME_WITHIN_MS:
            return Written(entry, Position(JOURNAL, origin.partition, origin.offset), repeated=True)
        ordinal += 1
    event = door.author.say(fact, entry, door.person, now_ms, time_ms=time_s * 1000)
    return Written(entry, await door.append_one(event))


# -- changed ---------------------------------------------------------------------------------------


async def find_entry(door: Door, name: str) -> EntryVersion:
    """The entry as it is now, deleted or not; before NotFound is raised the catalog catches up."""
    found = door.catalog.entry(name)
    if found is None:
        await door.catalog.caught_up()
        found = door.catalog.entry(name)
    if found is None or found.person != door.person:
        raise NotFound("There is no entry with this id.", field="id")
    return found


async def correct_entry(
    door: Door, entry: EntryVersion, seen: int, data: dict[str, object], *, time_ms: int | None, asks: bool
) -> Written:
    """Give an entry that was seen in revision `seen` new content; the old stays in its history. `asks`: a dose is
    looked at as a new one would be.

    Raises Conflict (`deleted`, `conflict`), NeedsConfirmation, BadValue, and as `Log.append`.
    """
    if entry.deleted:
        raise Conflict("The entry is deleted; undo that first.", code="deleted")
    happened_ms = time_ms if time_ms is not None else entry.time_ms
    door.refuse_odd_time(happened_ms)
    content = Entry(type=TYPES[entry.kind], time=at_ms(happened_ms), data=data)
    try:
        fact = content_of(content)
    except ValueError as error:
        named, _, why = str(error).partition(": ")
        raise BadValue(why, field=named) from error
    if asks:
        _ask(door, fact, happened_ms, but=entry.id)
    return await _change(door, entry, EntryCorrected(entry_id=entry.id, revision=seen + 1, entry=content))


async def delete_entry(door: Door, entry: EntryVersion, seen: int | None) -> Written:
    """Delete an entry; its history stays, and it can be taken back. Raises Conflict (`deleted`, `conflict`), and as
    `Log.append`.
    """
    if entry.deleted:
        raise Conflict("The entry is deleted already.", code="deleted")
    revision = entry.revision if seen is None else seen
    return await _change(door, entry, EntryDeleted(entry_id=entry.id, revision=revision + 1))


async def delete_entries(door: Door, entries: Sequence[EntryVersion], cause: str) -> None:
    """Delete several, one event for each, so that each can be taken back. `cause` is part of the events' ids. Raises as
    `Log.append`.
    """
    now_ms = door.clock.now_ms()
    gone = [EntryDeleted(entry_id=entry.id, revision=entry.revision + 1) for entry in entries]
    events = [door.author.say(e, change_id(e.entry_id, e.revision, cause), door.person, now_ms) for e in gone]
    if events:
        await door.append(events)
        await door.catalog.caught_up()


async def undo_entry(door: Door, entry: EntryVersion, seen: int | None) -> Written:
    """Take the last change or deletion back: the entry is again as it was before it. Raises Conflict
    (`nothing_to_undo`, `conflict`), and as `Log.append`.
    """
    if entry.revision < 2:
        raise Conflict(
            "There is nothing to undo: the entry was never changed. Delete it instead.", code="nothing_to_undo"
        )
    revision = entry.revision if seen is None else seen
    before = next((row for row in door.catalog.history(entry.id) if row.revision == revision - 1), None)
    if before is None or revision != entry.revision:
        raise _conflict(entry)
    if before.deleted:
        return await _change(door, entry, EntryDeleted(entry_id=entry.id, revision=revision + 1))
    content = Entry(type=TYPES[before.kind], time=at_ms(before.time_ms), data=before.data)
    change = EntryRestored(entry_id=entry.id, revision=revision + 1, as_of=revision - 1, entry=content)
    return await _change(door, entry, change)


async def _change(door: Door, entry: EntryVersion, change: EntryCorrected | EntryDeleted | EntryRestored) -> Written:
    """Append the change, then look whether somebody else was quicker. Raises LogOutcomeUnknown where that cannot be
    seen: the log has the change, and another one may have been before it.
    """
    await door.refuse_unread(_SEND_AGAIN)
    if change.revision != entry.revision + 1:
        raise _conflict(await find_entry(door, entry.id))
    name = change_id(entry.id, change.revision, digest(change.model_dump_json().encode()))
    event = door.author.say(change, name, entry.person, door.clock.now_ms())
    (position,) = await door.append([event])
    if not await door.catalog.caught_up():
        raise LogOutcomeUnknown("The change is in the log; whether another one came before it was not seen in time.")
    if not door.catalog.was_applied(entry.id, event.id):
        raise _conflict(await find_entry(door, entry.id))
    return Written(entry.id, position)


def _conflict(entry: EntryVersion) -> Conflict:
    sentence = f"Somebody else was quicker: the entry is at revision {entry.revision} now. Look at it and try again."
    return Conflict(sentence, code="conflict", facts={"revision": entry.revision, "by": entry.actor})
