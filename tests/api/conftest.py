"""The API on a real socket, over each kind of series."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from streams.adapters.series.sqlite.store import SqliteStore
from tests.support.serving import Served, serving
from tests.support.stores import influx_store, influxdb


@pytest.fixture(params=["sqlite", influxdb])
async def iv3(request: Any, tmp_path: Path) -> AsyncIterator[Served]:
    influx = request.getfixturevalue("influx") if request.param == "influxdb" else None
    store_of = (lambda _, log_id: influx_store(influx, log_id)) if influx else SqliteStore
    async with serving(tmp_path, store_of) as served:
        yield served


@pytest.fixture
async def owner(iv3: Served) -> str:
    return await iv3.token("owner", "Owner")
