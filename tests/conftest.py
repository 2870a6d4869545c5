"""What every test may ask for: an open log in a temporary folder, and roles that run on it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streams.logs.sqlite import SqliteLog


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    opened = SqliteLog(tmp_path / "log.db")
    yield opened
    await opened.close()
