"""A group's committed offsets, as if they had been lost."""

from streams.adapters.logs.sqlite.log import SqliteLog
from streams.adapters.logs.sqlite.writer import Statements


async def forget_offsets(log: SqliteLog, group: str) -> None:
    await log.submit(Statements([("DELETE FROM commits WHERE grp=?", (group,))]))
