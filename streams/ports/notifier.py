"""The notifier port: what tells a person."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """One notification. `sequence_id` names it: publishing the same id again replaces it on the phone."""

    sequence_id: str
    title: str
    body: str
    priority: int
    tags: tuple[str, ...] = ()
    click: str | None = None
    actions: tuple[Mapping[str, object], ...] = field(default=())
    delay_s: int | None = None


class Notifier(Protocol):
    """What tells a person."""

    @property
    def target(self) -> str:
        """A stable, non-secret name of the addressee."""

    async def probe(self) -> bool:
        """Whether the server knows sequence ids (ntfy 2.16 or newer); nothing that needs them may be armed
        otherwise.
        """

    async def send(self, message: Message) -> None:
        """Deliver. Raises NotifierRefused (for good) or NotifierUnreachable (it may have been delivered)."""

    async def was_sent(self, sequence_id: str, *, within_s: int) -> bool | None:
        """Whether the server holds a message of this id; None where it will not say. Raises NotifierUnreachable."""

    async def clear(self, sequence_id: str) -> None:
        """Take a shown notification off the phones; does nothing where the server cannot. Raises as `send`."""

    async def close(self) -> None:
        """Let go of connections."""


class Scheduler(Notifier, Protocol):
    """A notifier that keeps messages until their time, and can take them back."""

    async def cancel(self, sequence_id: str) -> None:
        """Take back what is scheduled under this id, and off the phones what is shown. Raises as `send`."""

    async def pending(self) -> list[str] | None:
        """The ids of messages that are scheduled, one entry for each; None where it will not say. Raises
        NotifierUnreachable.
        """
