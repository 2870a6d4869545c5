"""What every way out has in common that only sends: what went out can neither be found again nor taken back."""

import hashlib


class OneWay:
    """A notifier without sequence ids. `target` names the addressee by its hash only."""

    def __init__(self, kind: str, addressee: str) -> None:
        self.target = f"{kind}-{hashlib.sha256(addressee.encode()).hexdigest()[:10]}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.target})"

    async def probe(self) -> bool:
        """It knows no sequence ids."""
        return False

    async def was_sent(self, sequence_id: str, *, within_s: int) -> bool | None:
        """It will not say."""
        del sequence_id, within_s
        return None

    async def clear(self, sequence_id: str) -> None:
        """Nothing can be taken back."""
