"""One year of one person: 105,000 readings, 5,000 entries and their forecasts, made once per run."""

from pathlib import Path

from processors.predictors.forecasting import ForecastState
from processors.simulated_person import simulate
from schemas.envelope import Event, encode, make
from schemas.facts import CarbsEaten, GlucoseRead, InsulinTaken
from schemas.identity import derived_id, forecast_id
from schemas.model import at_ms
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.topics import FORECASTS, JOURNAL

PERSON = "me"
YEAR_MS = 365 * 86_400_000


async def write_year(folder: Path, end_ms: int) -> dict[str, int]:
    """A log with a year in it; how many of what."""
    log = SqliteLog(folder / "log.db")
    events = [
        _event(n, e.kind, e.value, e.name, e.time_ms) for n, e in enumerate(simulate(3, end_ms - YEAR_MS, end_ms))
    ]
    outlook = ForecastState()
    forecasts = []
    for n in range(0, len(events), 2_000):
        part = events[n : n + 2_000]
        positions = await log.append(JOURNAL, PERSON, [encode(event) for event in part])
        for event, position in zip(part, positions, strict=True):
            said = outlook.take(event, position.offset)
            if said is not None:
                made = make(
                    said,
                    id=forecast_id(event.id),
                    source="iv3/forecaster",
                    subject=PERSON,
                    time=event.time,
                    recordedtime=event.recordedtime,
                )
                forecasts.append(encode(made))
    for n in range(0, len(forecasts), 2_000):
        await log.append(FORECASTS, PERSON, forecasts[n : n + 2_000])
    await log.close()
    readings = sum(isinstance(event.data, GlucoseRead) for event in events)
    return {"readings": readings, "entries": len(events) - readings, "forecasts": len(forecasts)}


def _event(n: int, kind: str, value: float, name: str, time_ms: int) -> Event:
    moment = at_ms(time_ms)
    if kind == "glucose":
        data: GlucoseRead | CarbsEaten | InsulinTaken = GlucoseRead(glucose_mgdl=round(value), trend="Flat")
    elif kind == "carbs":
        data = CarbsEaten(grams=round(value, 2))
    else:
        data = InsulinTaken(units=round(value, 2), insulin=name or kind)
    return make(
        data,
        id=derived_id("year", n),  # as long as those of life
        source="dexcom-share" if kind == "glucose" else "api",
        subject=PERSON,
        time=moment,
        recordedtime=moment,
    )
