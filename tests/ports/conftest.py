"""Each kind of series store, for what sits the exam of the Series port."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from streams.ports.series import Series
from tests.support.stores import Stores, influxdb


@pytest.fixture(params=["sqlite", influxdb])
async def stores(request: Any, tmp_path: Path) -> AsyncIterator[Stores]:
    influx = request.getfixturevalue("influx") if request.param == "influxdb" else None
    made = Stores(request.param, tmp_path, influx)
    yield made
    for store in made.made:
        await store.close()


@pytest.fixture
async def series(stores: Stores) -> AsyncIterator[Series]:
    opened = await stores.series()
    yield opened
    await opened.close()
