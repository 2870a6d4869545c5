"""`GET /v1/now`: everything a glance needs, in one answer."""

import asyncio
import json
from typing import Any

from aiohttp import web

from api.request.auth import caller_of
from api.request.context import ApiContext, context_of
from api.request.openapi import Routes
from api.request.values import Asked, iso
from api.v1.alerts import open_alerts
from api.v1.answers.forecasts import Forecast
from api.v1.answers.now import CallerNow, GlucoseLimits, InsulinNamed, Now, ReadingNow, SourceNow
from api.v1.people import people_seen
from processors.physiology.at_work import LOOK_BACK_MS, AtWork, at_work
from processors.readings import STALE_S, Reading, change_mgdl
from schemas.facts import ProfileChanged
from schemas.forecasts import STEP_MIN, STEPS
from schemas.units import Unit, mmol
from streams.errors import SeriesUnavailable

routes = Routes("now")


class NowQuery(Asked):
    """How it is said."""

    unit: Unit | None = None  # for the texts; numbers come in both


@routes.route("GET", "/v1/now", role="now")
async def get_now(request: web.Request, query: NowQuery) -> Now:
    """Everything a glance needs.

    The newest reading with its age, the forecast or why there is none, insulin and carbs at work, open alerts, how the
    source answers.
    """
    context, caller = context_of(request), caller_of(request)
    person, now_ms = context.person, context.clock.now_ms()
    profile = context.catalog.profile(person)
    newest, before = context.catalog.newest_reading(person)
    forecast, reason = await _forecast(context, newest, now_ms)
    return Now(
        time=iso(now_ms),
        time_ms=now_ms,
        speed=context.clock.speed,
        demo=context.demo,
        person=person,
        name=profile.name or person,
        unit=profile.unit,
        zone=profile.zone,
        limits=GlucoseLimits.model_validate(profile.limits, from_attributes=True),
        reading=_reading_now(newest, before, now_ms) if newest else None,
        forecast=forecast,
        forecast_reason=reason,
        **_at_work(context, profile, now_ms)._asdict(),
        alerts=open_alerts(context, now_ms, query.unit),
        source=_source(context, person),
        insulins=[InsulinNamed(**insulin.model_dump()) for insulin in profile.insulins],
        bars=context.bars(person),
        health=context.health(person),
        caller=CallerNow(role=caller.role, name=caller.name, people=people_seen(context, caller.people)),
    )


def _reading_now(newest: Reading, before: Reading | None, now_ms: int) -> ReadingNow:
    """The newest reading with its age. After a gap there is no change to speak of."""
    change = change_mgdl(newest, before)
    age_s = (now_ms - newest.time_ms) / 1000
    return ReadingNow(
        time=iso(newest.time_ms),
        time_ms=newest.time_ms,
        glucose_mgdl=newest.glucose_mgdl,
        glucose_mmol=mmol(newest.glucose_mgdl),
        trend=newest.trend,
        delta_mgdl=round(change, 1) if change is not None else None,
        source=newest.source,
        age_s=round(age_s),
        stale=age_s >= STALE_S,
    )


async def _forecast(context: ApiContext, newest: Reading | None, now_ms: int) -> tuple[Forecast | None, str | None]:
    if newest is None:
        return None, "no readings yet"
    age_ms = now_ms - newest.time_ms
    if age_ms > STALE_S * 1000:
        return None, f"nothing received for {age_ms // 60_000} min"
    try:
        async with asyncio.timeout(2):
            rows = await context.series.forecasts(context.person, newest.time_ms, newest.time_ms + 1, 5)
    except (SeriesUnavailable, TimeoutError):
        return None, "the series cannot be read at the moment"
    for row in rows:
        if row.based_on == newest.id:
            return Forecast(**forecast_said(json.loads(row.body), newest.time_ms)), None
    return None, "too few readings, or a gap just before this one" if age_ms > 10_000 else "not worked out yet"


def forecast_said(data: dict[str, Any], reading_ms: int) -> dict[str, Any]:
    """The fields of `Forecast`, from a forecast as the Series keeps it."""
    curves = ("mean", "p10", "p25", "p75", "p90")
    return {
        **{name: data[name] for name in ("predictor", "based_on", "p_low", "p_urgent", "p_high")},
        "based_on_ms": reading_ms,
        "steps": [
            {"time_ms": reading_ms + (n + 1) * STEP_MIN * 60_000, **{f"{c}_mgdl": data[f"{c}_mgdl"][n] for c in curves}}
            for n in range(STEPS)
        ],
    }


def _at_work(context: ApiContext, profile: ProfileChanged, now_ms: int) -> AtWork:
    begin_ms, kinds = now_ms - LOOK_BACK_MS, ("insulin", "carbs")
    return at_work(context.catalog.entries(context.person, begin_ms, now_ms + 1, 1_000, kinds=kinds), profile, now_ms)


def _source(context: ApiContext, person: str) -> SourceNow:
    asked, name = context.catalog.source(person), context.source_name(person)
    return SourceNow(
        name=name,
        state=asked.state.state if asked is not None else "starting" if name else "none",
        since=iso(asked.since_ms) if asked is not None else None,
        reason=(asked.state.reason or None) if asked is not None else None,
        simulated=context.simulated(person),
    )
