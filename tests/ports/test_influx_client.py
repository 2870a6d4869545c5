"""What the library between us and InfluxDB must never change: a number that is none is refused whole, the token stays
with us.
"""

import subprocess
import sys
from typing import Any

import pytest

from streams.errors import Permanent, SeriesUnavailable
from tests.servers.proxy import FaultProxy
from tests.support.stores import DAY, HERE, T0, influx_store, reading


@pytest.mark.servers
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
async def test_a_reading_that_is_no_number_is_refused_whole_and_not_written_without_its_value(
    influx: Any, value: float
) -> None:
    store = influx_store(influx, "log-1")
    series = await store.open(await store.ready())
    with pytest.raises(Permanent, match="unable to parse"):
        await series.apply([reading(T0, value)], {HERE: 1})
    assert await series.readings("me", T0 - DAY, T0 + DAY, 10) == []
    assert dict(await series.position()) == {}
    await store.close()


@pytest.mark.servers
async def test_the_library_never_holds_the_token(influx: Any) -> None:
    store = influx_store(influx, "log-1")
    await store.ready()
    api = store.server._api
    held = [vars(api), vars(api.configuration), vars(api.rest_client) | {"pool_manager": None}, vars(api.last_response)]
    assert influx.token not in repr(held)
    await store.close()


@pytest.mark.servers
async def test_what_a_stranger_answers_is_said_without_a_word_of_it(influx: Any) -> None:
    page = b"<html>welcome to the hotel"
    async with FaultProxy(influx.url) as proxy:
        store = influx_store(influx, "log-1")
        store.server.url = proxy.url
        proxy.refuse(200, 1, body=page)
        with pytest.raises(SeriesUnavailable, match="is no InfluxDB 2") as stranger:
            await store.ready()
        proxy.refuse(502, 1, body=page)
        with pytest.raises(SeriesUnavailable, match=r"\(502, without a reason\)") as tired:
            await store.ready()
        await store.close()
    for error in (stranger.value, tired.value):
        assert "hotel" not in str(error)
        assert error.__cause__ is None


def test_only_who_has_an_influxdb_loads_the_library() -> None:
    code = (
        "import sys, iv3.assembly.series, iv3.operations.erasure, iv3.doctor.series\nassert "
        "'influxdb_client' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
