"""Readings, forecasts and gaps: read from the Series; readings also come in from uploaders."""

import asyncio
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Annotated

from aiohttp import web
from pydantic import Field

from api.request.auth import caller_of, door_of
from api.request.context import ApiContext, context_of
from api.request.openapi import Routes
from api.request.problems import ProblemError
from api.request.values import MOST_ROWS, Asked, GlucoseAsked, MomentMs, RangeQuery, cursor_values, iso, next_cursor
from api.v1.answers.forecasts import Forecasts, ForecastShown
from api.v1.answers.parts import at
from api.v1.answers.readings import GapRow, Gaps, Readings, ReadingsTaken
from api.v1.now import forecast_said
from processors.readings import Reading, gaps
from schemas.facts import Trend
from schemas.units import mmol
from streams.commands.readings import MOST_AT_ONCE, UploadedReading, upload_readings
from streams.errors import SeriesUnavailable

routes = Routes("readings")

_SOURCE_MOST = 80  # characters
_KNOWN_S = 1.0  # a low must not wait for a database that hangs


@routes.route("GET", "/v1/readings", role="reader", result=Readings)
async def get_readings(request: web.Request, query: RangeQuery) -> web.Response:
    """Canonical readings of a range, oldest first."""
    context = context_of(request)
    start, to = query.bounds(context.clock.now_ms())
    (start,) = cursor_values(query.cursor, [start])
    found = await context.series.readings(context.person, start, to, query.limit + 1)
    more = next_cursor([found[query.limit].time_ms]) if len(found) > query.limit else None
    return rows_answer(found[: query.limit], more)


def rows_answer(readings: list[Reading], cursor: str | None) -> web.Response:
    """Written out by hand: a quarter of a year is 26,000 rows, and this is ten times as quick as a model for each."""
    body = f'{{"items":[{",".join(rows_of(readings))}],"next_cursor":{json.dumps(cursor)}}}'
    return web.Response(body=body.encode(), content_type="application/json")


def rows_of(readings: Iterable[Reading]) -> list[str]:
    """Readings as JSON objects. Days, and what repeats from row to row, are written once."""
    days: dict[int, str] = {}
    middles: dict[tuple[float, str | None, str], str] = {}
    rows = []
    for time_ms, glucose, trend, source, name in readings:
        seconds, millis = divmod(time_ms, 1000)
        day, second = divmod(seconds, 86_400)
        minute, second = divmod(second, 60)
        date = days.get(day)
        if date is None:
            date = days[day] = datetime.fromtimestamp(day * 86_400, UTC).strftime('{"time":"%Y-%m-%d')
        middle = middles.get((glucose, trend, source))
        if middle is None:
            middle = middles[glucose, trend, source] = _middle(glucose, trend, source)
        zulu = f'.{millis:03d}Z","time_ms":' if millis else 'Z","time_ms":'
        rows.append(f'{date}{_MINUTES[minute]}{_SECONDS[second]}{zulu}{time_ms}{middle}"{name}"}}')
    return rows


_MINUTES = tuple(f"T{minute // 60:02d}:{minute % 60:02d}:" for minute in range(1440))
_SECONDS = tuple(f"{second:02d}" for second in range(60))


@lru_cache(4096)  # glucose is whole numbers, mostly: all that there are
def _middle(glucose: float, trend: str | None, source: str) -> str:
    said = {"glucose_mgdl": glucose, "glucose_mmol": mmol(glucose), "trend": trend, "source": source}
    return "," + json.dumps(said, separators=(",", ":"))[1:-1] + ',"id":'


class ReadingPosted(GlucoseAsked):
    """One reading of an uploader."""

    time: MomentMs
    trend: Trend | None = None


class ReadingsPosted(Asked):
    """At most 1,000 readings."""

    items: Annotated[list[ReadingPosted], Field(min_length=1, max_length=MOST_AT_ONCE)]


@routes.route("POST", "/v1/readings", role="uploader", status=202, errors=(507,))
async def post_readings(request: web.Request, body: ReadingsPosted) -> ReadingsTaken:
    """Readings from an uploader. Repeats are harmless: the same reading again is the same fact."""
    context, caller = context_of(request), caller_of(request)
    # Two people whom one device uploads for may have the same value in the same second; the default person's ids are as
    # they always were.
    account = caller.token_id if context.person == context.default else f"{caller.token_id}/{context.person}"
    sent = [UploadedReading(item.time, item.in_mgdl(), item.trend) for item in body.items]
    door = door_of(request, source=f"upload/{caller.name}"[:_SOURCE_MOST])
    done = await upload_readings(door, account, sent, partial(_known, context), context.lately)
    position = at(done.position) if done.position is not None else None
    return ReadingsTaken(ids=done.ids, new=done.new, position=position)


async def _known(context: ApiContext, first_ms: int, last_ms: int) -> set[str]:
    """Ids that the Series has of this range, as far as it answers soon. Readings never wait for a series that
    is away.
    """
    try:
        async with asyncio.timeout(_KNOWN_S):
            known = await context.series.readings(context.person, first_ms, last_ms + 1, 50_000)
    except (SeriesUnavailable, TimeoutError):
        return set()
    return {reading.id for reading in known}


@routes.route("GET", "/v1/forecasts", role="reader", tag="forecasts")
async def get_forecasts(request: web.Request, query: RangeQuery) -> Forecasts:
    """Forecasts of a range, by the time of the reading they are based on, oldest first."""
    context = context_of(request)
    start, to = query.bounds(context.clock.now_ms())
    (start,) = cursor_values(query.cursor, [start])
    limit = min(query.limit, 1_000)
    rows = await context.series.forecasts(context.person, start, to, limit + 1)
    items = []
    for row in rows[:limit]:
        data, at_ms = json.loads(row.body), row.reading_time_ms
        said, shadows = forecast_said(data, at_ms), data.get("shadows", {})
        items.append(ForecastShown(time=iso(at_ms), time_ms=at_ms, shadows=shadows, **said))
    more = next_cursor([rows[limit].reading_time_ms]) if len(rows) > limit else None
    return Forecasts(items=items, next_cursor=more)


@routes.route("GET", "/v1/gaps", role="reader")
async def get_gaps(request: web.Request, query: RangeQuery) -> Gaps:
    """Holes of more than 15 min in the readings of a range; `to_ms` is null while one is open."""
    context = context_of(request)
    now_ms = context.clock.now_ms()
    start, to = query.bounds(now_ms)
    before = await context.series.newest_readings(context.person, 1, start)
    found = await context.series.readings(context.person, start, to, MOST_ROWS)
    if len(found) == MOST_ROWS:
        raise ProblemError(422, f"holds {MOST_ROWS:,} readings or more; ask for a shorter one", field="to")
    holes = gaps([reading.time_ms for reading in (*before, *found)], now_ms if to > now_ms else None)
    rows = [
        GapRow(from_=iso(g.from_ms), from_ms=g.from_ms, to=iso(g.to_ms) if g.to_ms else None, to_ms=g.to_ms)
        for g in holes
        if (g.to_ms or now_ms) > start
    ]
    return Gaps(items=rows, next_cursor=None)
