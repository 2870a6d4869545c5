"""A phone that notes what it is sent."""

from streams.ports.notifier import Message


class Phone:
    """Takes what it is sent, unless it is off."""

    def __init__(self, name: str = "phone") -> None:
        self.target = name
        self.sent: list[str] = []
        self.asked: list[str] = []
        self.knows: set[str] = set()

    async def send(self, message: Message) -> None:
        self.sent.append(message.sequence_id)

    async def clear(self, sequence_id: str) -> None:
        self.sent.append(f"clear {sequence_id}")

    async def was_sent(self, sequence_id: str, *, within_s: float) -> bool:
        self.asked.append(sequence_id)
        return sequence_id in self.knows

    async def close(self) -> None:
        """Nothing is open."""
