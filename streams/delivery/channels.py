"""The ways out of a house, as the assembly makes them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from streams.delivery.dead_man import Ping
from streams.ports.notifier import Notifier, Scheduler


@dataclass(frozen=True)
class Channels:
    """The house's ways out: who is told, the second way for what is urgent, who keeps the dead-man's switch, and who is
    pinged.
    """

    targets: Sequence[Notifier] = ()
    fallback: Notifier | None = None
    dead_man: Scheduler | None = None
    ping: Ping | None = None
    closers: Sequence[Callable[[], Awaitable[None]]] = ()
