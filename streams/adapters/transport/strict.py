"""The strict guard: what Faust's own consumer gets wrong, put right for every driver.

Upstream commits past records whose handling failed, and after a rebalance it can mark records as read that it never
delivered. Here each partition is delivered densely from its start offset; only the prefix that was acknowledged in
order is committed; once more on revoke.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator
from types import coroutine
from typing import Any

from faust.transport.consumer import Consumer as FaustConsumer
from faust.transport.consumer import ensure_TP
from mode.services import WaitResults

_RESEEK_AFTER_S = 2.0
_LAST_COMMIT_S = 5.0


class _ReadOffsets(dict[Any, Any]):
    """Faust drops records at or below these; for topics under our guard it must never think so."""

    def __init__(self, guarded: Callable[[str], bool]) -> None:
        super().__init__()
        self._guarded = guarded

    def __getitem__(self, tp: Any) -> Any:
        return None if self._guarded(tp.topic) else self.get(tp)


class _Done:
    """A delivery that is over."""

    def __await__(self) -> Iterator[Any]:
        return iter(())


_DONE = _Done()
_AT_ONCE = WaitResults([_DONE], [None], False)


def _begun(delivery: Coroutine[Any, Any, None]) -> Any:
    """The delivery, begun at once: most have no need to wait. Upstream makes four tasks for each, which is as much work
    as all else it does.
    """
    try:
        waits_for = delivery.send(None)
    except StopIteration:
        return _DONE
    return _rest(delivery, waits_for)


async def _rest(delivery: Coroutine[Any, Any, None], waits_for: Any) -> None:
    await _resumed(delivery, waits_for)


@coroutine
def _resumed(delivery: Coroutine[Any, Any, None], waits_for: Any) -> Generator[Any, Any, None]:
    """The rest of a delivery, which waits for something: the buffer is full, or the flow was suspended."""
    try:
        while True:
            try:
                sent = yield waits_for
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: BLE001 - a cancellation, too, is the delivery's own to answer
                waits_for = delivery.throw(error)
            else:
                waits_for = delivery.send(sent)
    except StopIteration:
        return
    finally:
        delivery.close()


class StrictOffsets(FaustConsumer):
    """Mix in before a driver's Consumer.

    The start offset of a partition is `app.link.start_offsets` if the role's assignment hook set it, otherwise the
    committed offset, otherwise the earliest.
    """

    callback: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._delivered: dict[Any, deque[int]] = defaultdict(deque)
        self._expected: dict[Any, int] = {}
        self._holes: dict[Any, tuple[int, float]] = {}
        super().__init__(*args, **kwargs)
        inner, guarded = self.callback, self.app.topics.acks_enabled_for
        self._read_offset = _ReadOffsets(guarded)

        async def take(message: Any) -> None:
            if not guarded(message.topic):
                await inner(message)
                return
            tp, offset = ensure_TP(message.tp), message.offset
            expected = self._expected.get(tp)
            if expected is None or offset < expected:
                return
            if offset > expected and not await self._is_hole(tp, expected, offset):
                return
            self._holes.pop(tp, None)
            self._expected[tp] = offset + 1
            delivered = self._delivered[tp]
            delivered.append(offset)
            await inner(message)
            if message.refcount == 0 and not message.acked and offset in delivered:
                delivered.remove(offset)  # nobody subscribes to it, so nobody will acknowledge it

        def deliver(message: Any) -> Any:
            return _begun(take(message))

        self.callback = deliver

    async def wait_first(self, *waited: Any, timeout: Any = None) -> Any:  # noqa: ASYNC109 - the name mode calls it by
        """As mode's; but for a delivery that is done already there is nothing to wait for."""
        if waited[0] is not _DONE:
            return await super().wait_first(*waited, timeout=timeout)
        for other in waited[1:]:
            other.close()
        return _AT_ONCE

    async def _is_hole(self, tp: Any, expected: int, offset: int) -> bool:
        """Seek back on a jump; if the same record comes first again, the log really has a hole there."""
        seen, at = self._holes.get(tp, (None, 0.0))
        now = asyncio.get_running_loop().time()
        if offset == seen:
            self.app.link.found_hole((tp.topic, tp.partition), expected, offset)
            return True
        if seen is None or now - at > _RESEEK_AFTER_S:
            self.log.warning("%s: expected offset %s, got %s: seeking back", tp, expected, offset)
            self._holes[tp] = (offset, now)
            await self.seek_wait({tp: expected})
        return False

    def _forget(self, partitions: Iterable[Any]) -> None:
        for tp in [ensure_TP(partition) for partition in partitions]:
            for book in (self._delivered, self._acked, self._acked_index, self._gap, self._expected, self._holes):
                book.pop(tp, None)

    async def perform_seek(self) -> None:
        """Start every partition where it has to start, and expect exactly that offset."""
        self._forget(list(self._expected))
        await super().perform_seek()
        guarded = self.app.topics.acks_enabled_for
        start = {tp: self._read_offset.get(tp) for tp in map(ensure_TP, self.assignment()) if guarded(tp.topic)}
        new = [tp for tp, offset in start.items() if offset is None]
        if new:
            earliest = await self.earliest_offsets(*new)
            start.update({ensure_TP(tp): offset for tp, offset in earliest.items()})
        chosen = self.app.link.start_offsets
        start.update({tp: chosen[tp.topic, tp.partition] for tp in start if (tp.topic, tp.partition) in chosen})
        await self.seek_wait(start)
        self._forget(start)
        self._expected.update(start)

    async def seek(self, partition: Any, offset: int) -> None:
        """Go to an offset and expect it."""
        self._forget([partition])
        await super().seek(partition, offset)
        self._expected[ensure_TP(partition)] = offset

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Let the role finish what is in hand, commit once more what was acknowledged, then forget the partitions."""
        await self.app.link.before_revoke()
        if revoked and not self.app.should_stop:
            try:
                await asyncio.wait_for(self._last_commit(), _LAST_COMMIT_S)
            except Exception as error:  # noqa: BLE001 - the next owner handles again what was not committed
                self.log.warning("commit on revoke: %r", error)
        self._forget(revoked)
        await super().on_partitions_revoked(revoked)
        self._forget(revoked)

    async def _last_commit(self) -> None:
        self.stop_flow()
        self.app.flow_control.suspend()
        self.app.flow_control.clear()
        await self.maybe_wait_for_commit_to_finish()
        await self.force_commit()

    def ack(self, message: Any) -> bool:
        """An acknowledgement from before a rebalance does not count."""
        if message.generation_id != self.app.consumer_generation_id:
            self._unacked_messages.discard(message)
            message.acked = True
            return False
        return bool(super().ack(message))

    def _new_offset(self, tp: Any) -> int | None:
        """The offset after the acknowledged prefix of what was delivered; None if nothing can be committed."""
        delivered, acked = self._delivered.get(ensure_TP(tp)), self._acked_index[tp]
        last: int | None = None
        while delivered and delivered[0] in acked:
            last = delivered.popleft()
        if last is None:
            return None
        acked.difference_update([offset for offset in acked if offset <= last])
        self._acked[tp][:] = [offset for offset in self._acked[tp] if offset > last]
        return last + 1

    # One agent per App: a full buffer makes the drainer wait in `chan.put()`, and that is the backpressure. Upstream's
    # takes the partition off the active set and, when all are off, sleeps a whole second (380 instead of 2,000
    # events/s).
    def on_buffer_full(self, tp: Any) -> None:
        """Nothing to do."""

    def on_buffer_drop(self, tp: Any) -> None:
        """Nothing to do."""
