"""A small server in the place of iv3: it serves the dashboard and a scripted API that obeys docs/reference/api.md.

Run it by hand with `python stand_in.py in-range` and open the printed address.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import re
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web

from api.app import operations
from api.request.openapi import document

Json = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

STATIC = Path(__file__).resolve().parents[3] / "api" / "dashboard"
ZONE = ZoneInfo("Europe/Berlin")
MIN, HOUR, DAY = 60_000, 3_600_000, 86_400_000
FACTOR = 18.01559
PAGE = 200  # readings per page: a day needs two
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
LIMITS = {"urgent_low_mgdl": 55, "low_mgdl": 70, "high_mgdl": 180, "very_high_mgdl": 250}
HUMALOG = {"name": "Humalog", "action": "rapid", "duration_min": 300, "peak_min": 75}
TRESIBA = {"name": "Tresiba", "action": "long", "duration_min": 2520, "peak_min": 0}
TRENDS = ((3, "DoubleUp"), (2, "SingleUp"), (1, "FortyFiveUp"), (-1, "Flat"), (-2, "FortyFiveDown"), (-3, "SingleDown"))


@dataclass
class Scene:
    """What one scenario differs in from a plain good day."""

    at: str = "11:27"
    tail: tuple[int, ...] = (112, 110, 108, 107, 105, 104)  # the latest readings, 5 min apart
    age_min: float = 1.4
    empty: bool = False
    hole: tuple[int, int] | None = None  # minutes before now, a gap in the readings
    demo: bool = False
    bars: tuple[tuple[str, str], ...] = ()
    source: Json = field(default_factory=dict)
    alerts: tuple[Json, ...] = ()
    chance: tuple[float, float, float] = (0.03, 0.001, 0.02)
    insulins: tuple[Json, ...] = (HUMALOG, TRESIBA)
    long_hours: float = 13.6
    unit: str = "mmol/L"
    name: str = "Maya"
    bad_parts: tuple[str, ...] = ()
    missing_parts: tuple[str, ...] = ()
    zone: str | None = "Europe/Berlin"
    reading_source: str = "dexcom-share"
    unknown_doses: int = 0
    extra: tuple[tuple[float, Json], ...] = ()  # more entries: hours ago, and their fields


def _alert(kind: str, title: str, text: str, told: str, opened_min: int, choices: list[int], **more: Any) -> Json:
    return {
        "id": f"ep-{kind}",
        "kind": kind,
        "priority": 5 if kind in ("low", "urgent_low") else 4,
        "title": title,
        "text": text,
        "opened_min": opened_min,
        "step": 1,
        "told": told,
        "acknowledged_min": None,
        "acknowledged_by": None,
        "again_min": None,  # when it rings again, minutes from now
        "lowest_mgdl": None,
        "treatable": kind in ("low", "urgent_low", "predicted_low"),
        "snooze_choices_min": choices,
        **more,
    }


LOW = _alert(
    "low",
    "Low 3.3 ↓↓",
    "Below 3.9 at 20:55, lowest 3.3; last reading 1 min ago.",
    "Told at 20:56.",
    12,
    [15, 30],
    lowest_mgdl=59,
    again_min=4,
)
URGENT = _alert(
    "urgent_low",
    "URGENT LOW 2.8 →",
    "Below 3.1 at 07:20, lowest 2.8; last reading 1 min ago.",
    "Told at 07:41.",
    26,
    [10, 20, 30],
    lowest_mgdl=50,
    again_min=5,
)
FALLING = (121, 114, 105, 95, 83, 75, 59)
UNDELIVERABLE = "ALARMS ARE NOT GETTING OUT. ntfy refused (403) since 21:05. Sent by email instead."
BEHIND = "Alarms are running late. Checked through 11:18, 9 min behind. A low since then may not have rung yet."
SCENES: dict[str, Scene] = {
    "in-range": Scene(),
    "low": Scene(at="21:07", tail=FALLING, alerts=(LOW,), chance=(0.9, 0.88, 0.0)),
    "urgent-low": Scene(at="07:46", tail=(88, 80, 71, 66, 58, 54, 50), alerts=(URGENT,), chance=(0.95, 0.9, 0.0)),
    "high": Scene(at="08:47", tail=(189, 208, 236, 245, 251, 255, 257), chance=(0.0, 0.0, 0.99)),
    "very-high-word": Scene(tail=(380, 390, 398, 401), chance=(0.0, 0.0, 0.99)),
    "low-word": Scene(tail=(60, 51, 44, 39), alerts=(URGENT,), chance=(0.99, 0.99, 0.0)),
    "predicted": Scene(
        at="19:42",
        tail=(98, 92, 86, 82, 79, 76),
        chance=(0.33, 0.05, 0.0),
        alerts=(
            _alert(
                "predicted_low",
                "Low predicted, now 4.2 →",
                "About 1 in 3 chance below 3.9 within 30 min; last reading 2 min ago.",
                "Told at 19:40.",
                2,
                [15, 30],
                again_min=13,
            ),
        ),
    ),
    "stale": Scene(
        at="20:23",
        tail=(100, 98, 96, 95),
        age_min=23,
        source={"state": "no_data", "reason": "Dexcom answers, but the sensor has sent nothing since 20:00."},
        alerts=(
            _alert(
                "stale",
                "No data since 20:00",
                "Last known 5.3 → 23 min ago, nothing since (Dexcom: no data). Check by finger-stick.",
                "Told at 20:16.",
                8,
                [30, 60],
                again_min=7,
            ),
        ),
    ),
    "stale-low": Scene(
        at="21:17",
        tail=FALLING,
        age_min=11,
        source={"state": "no_data", "reason": "Dexcom: no data."},
        chance=(0.9, 0.8, 0.0),
        alerts=(
            _alert(
                "stale",
                "Lost while low",
                "Last known 3.3 ↓↓ 11 min ago, nothing since (Dexcom: no data). Check by finger-stick.",
                "Told at 21:16.",
                1,
                [10, 20],
                priority=5,
                again_min=4,
            ),
        ),
    ),
    "no-data": Scene(
        empty=True,
        source={"state": "starting", "reason": "Signed in to Dexcom 20 s ago. Readings come every 5 minutes."},
    ),
    "gap": Scene(hole=(95, 55)),
    "demo": Scene(demo=True, name="Demo", source={"name": "Simulator"}, bars=(("demo", "DEMO: simulated person"),)),
    "simulated": Scene(
        source={"name": "Simulated", "simulated": True},
        bars=(("simulated", "SIMULATED SOURCE. These readings do not come from Dexcom."),),
    ),
    "alarms-off": Scene(
        bars=(("alarms_off", "ALARMS ARE OFF. No phone is set up, so nobody will be told of a low."),),
        bad_parts=("Notifier",),
    ),
    "undeliverable": Scene(
        at="21:07",
        tail=FALLING,
        alerts=(LOW,),
        bars=(("undeliverable", UNDELIVERABLE),),
        bad_parts=("Notifier",),
        chance=(0.9, 0.88, 0.0),
    ),
    "behind": Scene(bars=(("behind", BEHIND),), bad_parts=("Alarms",)),
    "clock-wrong": Scene(
        bars=(
            ("clock_wrong", "The clock of this computer is 4 min wrong."),
            ("disk_low", "The disk is nearly full. 300 MB are left."),
        )
    ),
    "acked": Scene(
        at="21:07",
        tail=FALLING,
        alerts=(
            {
                **LOW,
                "acknowledged_min": 1,
                "acknowledged_by": "Dad",
                "again_min": 14,
                "snooze_choices_min": [],
            },
        ),
        chance=(0.9, 0.88, 0.0),
    ),
    "two-alerts": Scene(
        at="07:46",
        tail=(88, 80, 71, 66, 58, 54, 50),
        chance=(0.95, 0.9, 0.0),
        alerts=(
            URGENT,
            _alert("system", "iv3 needs attention", "The disk for backups is not there.", "Told at 06:00.", 100, []),
        ),
    ),
    "due-now": Scene(at="22:02", insulins=(HUMALOG, {**TRESIBA, "every_h": 24}), long_hours=24.1),
    "late": Scene(
        at="00:20",
        long_hours=26.2,
        tail=(172, 175, 178, 180, 181, 180),
        chance=(0.0, 0.0, 0.33),
        alerts=(
            _alert(
                "no_long_acting",
                "No Tresiba logged for 26 h",
                "It may have been given and not logged: check before a second one.",
                "Told at 00:00.",
                20,
                [30, 60],
                again_min=40,
            ),
        ),
    ),
    "no-insulins": Scene(insulins=()),
    "mgdl": Scene(unit="mg/dL"),
    "uploads": Scene(
        source={"name": "", "state": "none"}, reading_source="upload/xDrip", missing_parts=("Notifier", "Archive")
    ),
    "uploads-stale": Scene(
        at="21:02", age_min=26, source={"name": "", "state": "none"}, reading_source="upload/xDrip", zone=None
    ),
    "refused": Scene(
        source={"state": "refused", "reason": "the account or the password is wrong; the next try is at 12:00"},
        bad_parts=("Notifier",),
    ),
    "busy": Scene(
        extra=(
            *((0.5 + n / 10, {"kind": "insulin", "insulin": "Humalog", "units": 2.0 + n}) for n in range(7)),
            (4.0, {"kind": "insulin", "insulin": "Tresiba", "units": 20.0}),
            (4.0, {"kind": "insulin", "insulin": "Tresiba", "units": 18.0}),
            (6.0, {"kind": "insulin", "insulin": "Novorapid", "units": 3.0}),
        ),
        unknown_doses=1,
    ),
    "after-midnight": Scene(at="00:20", tail=(112, 110, 108, 107, 105, 104)),
}


def _iso(ms: float) -> str:
    return (datetime.fromtimestamp(ms / 1000, UTC)).isoformat(timespec="seconds").replace("+00:00", "Z")


def _both(ms: float) -> Json:
    return {"time": _iso(ms), "time_ms": round(ms)}


def _glucose(mgdl: float) -> Json:
    return {"glucose_mgdl": round(mgdl), "glucose_mmol": round(mgdl / FACTOR, 1)}


def _curve(minutes_of_day: float) -> float:
    """An ordinary day: three meals and a quiet night."""
    rise = ((8.7, 1.0, 150.0), (13.4, 1.6, 65.0), (18.6, 1.5, 115.0), (21.9, 0.9, 60.0))
    hour = minutes_of_day / 60
    return (
        92 + 8 * math.sin(hour * 0.9) + sum(size * math.exp(-(((hour - at) / width) ** 2)) for at, width, size in rise)
    )


class StandIn:
    """The server, in a thread of its own; a test sets the scene, breaks things, and looks at what was posted."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, str, Json, str | None]] = []  # method, path, body, Idempotency-Key
        self.loop = asyncio.new_event_loop()
        self._streams: set[asyncio.Queue[tuple[str, Json] | None]] = set()
        self._ready = threading.Event()
        self.port = 0
        self.play("in-range")
        threading.Thread(target=self._run, daemon=True).start()
        if not self._ready.wait(10):
            raise RuntimeError("the stand-in did not start")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # -- what a test may set ----

    def play(self, name: str, *, speed: float = 1.0) -> None:
        """Starts a scenario from its own time of day."""
        scene = self.scene = SCENES[name]
        hour, minute = (int(x) for x in scene.at.split(":"))
        today = datetime.now(ZONE).replace(hour=hour, minute=minute, second=20, microsecond=0) - timedelta(days=1)
        self.speed = speed
        self.began_ms, self._t0 = today.timestamp() * 1000, time.monotonic()
        self.hello = True  # False: the stream opens and says nothing
        self.alive = True  # False: every connection is cut
        self.signed_in = True
        self.role = "owner"
        self.refuse: tuple[int, Json] | None = None  # the answer to the next POST of an entry
        self.fail_posts = False
        self.posts.clear()
        self.keys: dict[str, str] = {}
        self.readings = [] if scene.empty else self._history()
        self.entries = [] if scene.empty else self._logged()
        self.alerts = [self._episode(a) for a in scene.alerts]
        self.drop_streams()

    def now(self) -> float:
        return self.began_ms + (time.monotonic() - self._t0) * 1000 * self.speed

    def add_reading(self, mgdl: int) -> None:
        """A new reading arrives and the stream says so."""
        prev = self.readings[-1]
        self.readings.append(self._reading(self.now() - 20_000, mgdl, prev))
        self.tell("change", changed=["readings", "forecasts"])

    def tell(self, event: str, **data: Any) -> None:
        message = (event, {"time_ms": round(self.now()), **data})
        self.loop.call_soon_threadsafe(self._send, message)

    def _send(self, message: tuple[str, Json] | None) -> None:
        for queue in self._streams:
            queue.put_nowait(message)

    def drop_streams(self) -> None:
        self.loop.call_soon_threadsafe(self._send, None)

    def die(self) -> None:
        """The server stops answering."""
        self.alive = False
        self.drop_streams()

    def revive(self) -> None:
        self.alive = True

    def posted(self, path: str = "/v1/entries") -> list[tuple[Json, str | None]]:
        return [(body, key) for method, where, body, key in self.posts if method == "POST" and where == path]

    # -- scripted data ----

    def _reading(self, ms: float, mgdl: float, prev: Json | None) -> Json:
        gap = prev is None or ms - prev["time_ms"] > 11 * MIN
        delta = None if gap or prev is None else round(mgdl) - prev["glucose_mgdl"]
        rate = None if delta is None else delta / 5
        trend = None if rate is None else next((name for over, name in TRENDS if rate >= over), "DoubleDown")
        return {**_both(ms), **_glucose(mgdl), "trend": trend, "delta_mgdl": delta, "source": self.scene.reading_source}

    def _history(self) -> list[Json]:
        scene, end = self.scene, self.began_ms - self.scene.age_min * MIN
        n, out = len(scene.tail), list[Json]()
        for i in range(299, -1, -1):
            ms = end - i * 5 * MIN
            back = (self.began_ms - ms) / MIN
            if scene.hole and scene.hole[1] < back < scene.hole[0]:
                continue
            local = datetime.fromtimestamp(ms / 1000, ZONE)
            value: float = _curve(local.hour * 60 + local.minute)
            if i < n:
                value = scene.tail[n - 1 - i]
            elif i < n + 12:  # glide from the curve to the scripted end
                share = (i - n + 1) / 13
                value = share * value + (1 - share) * scene.tail[0]
            out.append(self._reading(ms, value, out[-1] if out else None))
        return out

    def _logged(self) -> list[Json]:
        t = self.began_ms
        plan: list[tuple[float, Json]] = [
            (41.0, {"kind": "insulin", "insulin": "Tresiba", "units": 18.0}),
            (23.3, {"kind": "insulin", "insulin": "Humalog", "units": 4.0}),
            (23.3, {"kind": "carbs", "grams": 45}),
            (18.1, {"kind": "insulin", "insulin": "Humalog", "units": 7.0}),
            (18.1, {"kind": "carbs", "grams": 70}),
            (15.4, {"kind": "carbs", "grams": 15, "note": "Juice", "by": "Dad"}),
            (14.2, {"kind": "insulin", "insulin": "Humalog", "units": 1.5}),
            (self.scene.long_hours, {"kind": "insulin", "insulin": "Tresiba", "units": 18.0, "by": "Dad"}),
            (3.6, {"kind": "insulin", "insulin": "Humalog", "units": 6.5, "revision": 2}),
            (3.6, {"kind": "carbs", "grams": 50}),
            (2.1, {"kind": "note", "text": "PE, 40 min <b>hard</b>"}),
            (1.9, {"kind": "fingerstick", **_glucose(140)}),
            (1.5, {"kind": "exercise", "minutes": 40, "intensity": "moderate"}),
            (1.2, {"kind": "carbs", "grams": 5, "deleted": True, "revision": 2}),
            *self.scene.extra,
        ]
        return [self._entry(f"e{i}", t - ago * HOUR, fields) for i, (ago, fields) in enumerate(plan)]

    def _entry(self, id_: str, ms: float, fields: Json) -> Json:
        plain = {"id": id_, "revision": 1, "deleted": False, "by": "Maya", "note": None}
        return {**plain, **_both(ms), "recorded_time": _iso(ms + 4000), **fields}

    def _episode(self, a: Json) -> Json:
        x = dict(a)
        acked = x.pop("acknowledged_min")
        x["opened_ms"] = round(self.began_ms - x.pop("opened_min") * MIN)
        x["acknowledged_ms"] = None if acked is None else round(self.began_ms - acked * MIN)
        again = x.pop("again_min")
        x["rings_again_ms"] = None if again is None else round(self.began_ms + again * MIN)
        x["snoozed_until_ms"] = None
        return x

    def _forecast(self) -> tuple[Json | None, str | None]:
        if not self.readings:
            return None, "too few readings"
        last, t = self.readings[-1], self.now()
        if t - last["time_ms"] > 10 * MIN:
            return None, f"nothing received for {int((t - last['time_ms']) / MIN)} min"
        v, steps = float(last["glucose_mgdl"]), []
        slope = (last["delta_mgdl"] or 0) * 0.8
        for k in range(1, 13):
            slope *= 0.82
            v = max(40.0, v + slope)
            wide = 0.03 + 0.017 * k
            low, high = (round(v * math.exp(z * wide), 1) for z in (-1.2816, 1.2816))
            q25, q75 = (round(v * math.exp(z * wide), 1) for z in (-0.6745, 0.6745))
            band = {"mean_mgdl": round(v, 1), "p10_mgdl": low, "p25_mgdl": q25, "p75_mgdl": q75, "p90_mgdl": high}
            steps.append({"time_ms": round(last["time_ms"] + k * 5 * MIN), **band})
        low_, urgent, high_ = self.scene.chance
        return {
            "predictor": "ar2",
            "based_on_ms": last["time_ms"],
            "p_low": low_,
            "p_urgent": urgent,
            "p_high": high_,
            "steps": steps,
        }, None

    def _gaps(self) -> list[Json]:
        out, r = list[Json](), self.readings
        for a, b in itertools.pairwise(r):
            if b["time_ms"] - a["time_ms"] > 15 * MIN:
                out.append(
                    {"from": a["time"], "from_ms": a["time_ms"], "to": b["time"], "to_ms": b["time_ms"], "open": False}
                )
        if r and self.now() - r[-1]["time_ms"] > 15 * MIN:
            out.append({"from": r[-1]["time"], "from_ms": r[-1]["time_ms"], "to": None, "to_ms": None, "open": True})
        return out

    def _said(self, alerts: list[Json], unit: str | None) -> list[Json]:
        """The alerts with their texts in the unit that was asked for, as the server composes them."""
        if (unit or self.scene.unit) == "mmol/L":
            return alerts
        number = re.compile(r"\b\d+\.\d\b")
        in_mgdl = lambda m: str(round(float(m.group()) * FACTOR))  # noqa: E731 - a line is enough
        return [{**a, **{k: number.sub(in_mgdl, a[k]) for k in ("title", "text")}} for a in alerts]

    def _now(self, unit: str | None = None) -> Json:
        scene, t = self.scene, self.now()
        last = self.readings[-1] if self.readings else None
        reading = (
            None
            if last is None
            else {**last, "age_s": round((t - last["time_ms"]) / 1000), "stale": t - last["time_ms"] >= 15 * MIN}
        )
        forecast, reason = self._forecast()
        alive = [e for e in self.entries if not e["deleted"]]
        dose = max((e["time_ms"] for e in alive if e.get("insulin") == "Humalog"), default=None)
        carbs = max((e["time_ms"] for e in alive if e["kind"] == "carbs"), default=None)
        parts = [
            ("Log", "41,204 events", "nothing waiting"),
            ("Series", "up to date", "0 events behind"),
            ("Alarms", "checked 4 s ago", "every reading, within 10 s"),
            ("Notifier", "ntfy accepted 07:02", "test alarm acknowledged Sunday"),
            ("Archive", "4 min old", "newest segment"),
            ("Backup", "verified 06:58", "restored and compared"),
        ]
        source = {
            "name": "Dexcom",
            "state": "ok",
            "since": _iso(t - 3 * HOUR),
            "reason": None,
            "simulated": False,
            **scene.source,
        }
        return {
            **_both(t),
            "speed": self.speed,
            "demo": scene.demo,
            "person": "me",
            "name": scene.name,
            "unit": scene.unit,
            "zone": scene.zone,
            "caller": {"role": self.role, "name": "this browser"},
            "unknown_doses": scene.unknown_doses,
            "limits": LIMITS,
            "reading": reading,
            "forecast": forecast,
            "forecast_reason": reason,
            "iob_units": None if dose is None else 0.4,
            "iob_last_ms": dose,
            "cob_grams": None if carbs is None else 0,
            "cob_last_ms": carbs,
            "alerts": self._said(self.alerts, unit),
            "source": source,
            "insulins": list(scene.insulins),
            "bars": [{"kind": k, "text": x} for k, x in scene.bars],
            "health": [
                {"key": k, "ok": False, "value": "not set up", "detail": d, "missing": True}
                if k in scene.missing_parts
                else {"key": k, "ok": k not in scene.bad_parts, "value": v, "detail": d, "missing": False}
                for k, v, d in parts
            ],
        }

    # -- HTTP ----

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        app = web.Application(middlewares=[self._guard()])
        app.add_routes(
            [
                web.get("/", self._file),
                web.get("/login", self._file),
                web.post("/login", self._login),
                web.post("/logout", self._logout),
                web.get("/docs", self._file),
                web.get("/openapi.json", self._openapi),
                web.get("/static/{path:.+}", self._file),
                web.get("/v1/stream", self._stream),
                web.get("/v1/now", self._get_now),
                web.get("/v1/readings", self._get_readings),
                web.get("/v1/entries", self._get_entries),
                web.post("/v1/entries", self._post_entry),
                web.get("/v1/entries/{id}", self._get_entry),
                web.get("/v1/entries/{id}/history", self._get_history),
                web.patch("/v1/entries/{id}", self._change),
                web.delete("/v1/entries/{id}", self._change),
                web.post("/v1/entries/{id}/undo", self._change),
                web.get("/v1/alerts", self._get_alerts),
                web.get("/v1/gaps", self._get_gaps),
                web.post("/v1/alerts/{id}/ack", self._ack),
                web.post("/v1/snoozes", self._snooze),
                web.delete("/v1/snoozes/{kind}", self._lift),
            ]
        )
        app.on_response_prepare.append(self._mark)
        runner = web.AppRunner(app, shutdown_timeout=0.1)

        async def start() -> None:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.port = runner.addresses[0][1]
            self._ready.set()

        self.loop.run_until_complete(start())
        self.loop.run_forever()

    def _guard(self) -> Any:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not self.alive:  # as a dead server does: the connection ends without a word
                if request.transport is not None:
                    request.transport.close()
                raise web.HTTPServiceUnavailable
            if not self.signed_in and request.path.startswith("/v1/"):
                return self._problem(401, detail="no valid token")
            return await handler(request)

        return guard

    async def _mark(self, _request: web.Request, response: web.StreamResponse) -> None:
        if self.scene.demo:
            response.headers["X-IV3-Demo"] = "1"

    @staticmethod
    def _list(items: list[Json], cursor: str | None = None) -> web.Response:
        return web.json_response({"items": items, "next_cursor": cursor})

    @staticmethod
    def _problem(status: int, **body: Any) -> web.Response:
        return web.json_response(
            {"type": "about:blank", "status": status, **body}, status=status, content_type="application/problem+json"
        )

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = {"/": "index.html", "/login": "login.html", "/docs": "docs.html"}.get(
            request.path
        ) or request.match_info["path"]
        path = (STATIC / name).resolve()
        if STATIC not in path.parents or not path.is_file():
            return self._problem(404, detail="no such file")
        return web.FileResponse(
            path,
            headers={"Content-Security-Policy": CSP, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"},
        )

    async def _login(self, request: web.Request) -> web.StreamResponse:
        if (await request.json())["token"] != "good":
            return self._problem(401, detail="unknown token")
        self.signed_in = True
        answer = web.Response(status=204)
        answer.set_cookie("iv3", "x", httponly=True, samesite="Strict")
        return answer

    async def _logout(self, request: web.Request) -> web.StreamResponse:
        self.posts.append(("POST", request.path, {}, None))
        self.signed_in = False
        return web.Response(status=204)

    async def _openapi(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response(document(operations(), title="iv3", version="0.1"))

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        queue: asyncio.Queue[tuple[str, Json] | None] = asyncio.Queue()
        self._streams.add(queue)
        try:
            if self.hello:
                queue.put_nowait(("hello", {"time_ms": round(self.now())}))
            else:
                await response.write(b": nothing yet\n\n")
            while True:
                try:
                    item = await asyncio.wait_for(queue.get(), 10)
                except TimeoutError:
                    item = ("ping", {"time_ms": round(self.now())}) if self.hello else ("", {})
                if item is None:
                    break
                if item[0]:
                    await response.write(f"event: {item[0]}\ndata: {json.dumps(item[1])}\n\n".encode())
        except (ConnectionResetError, asyncio.CancelledError):
            pass
        finally:
            self._streams.discard(queue)
        return response

    async def _get_now(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self._now(request.query.get("unit")), headers={"Cache-Control": "no-store"})

    async def _get_readings(self, request: web.Request) -> web.StreamResponse:
        low, high = int(request.query["from"]), int(request.query["to"])
        items, skip = [r for r in self.readings if low <= r["time_ms"] < high], int(request.query.get("cursor", "0"))
        return self._list(items[skip : skip + PAGE], str(skip + PAGE) if skip + PAGE < len(items) else None)

    async def _get_entries(self, request: web.Request) -> web.StreamResponse:
        low, high, gone = int(request.query["from"]), int(request.query["to"]), request.query.get("deleted") == "1"
        return self._list([e for e in self.entries if low <= e["time_ms"] < high and (gone or not e["deleted"])])

    async def _get_alerts(self, request: web.Request) -> web.StreamResponse:
        past = {
            **self._episode({**LOW, "opened_min": 860}),
            "id": "ep-old",
            "title": "Low 3.6",
            "acknowledged_ms": round(self.began_ms - 855 * MIN),
            "acknowledged_by": "Dad",
        }
        known = [*self.alerts, *([] if self.scene.empty else [past])]
        return self._list(self._said(known, request.query.get("unit")))

    async def _get_gaps(self, _request: web.Request) -> web.StreamResponse:
        return self._list(self._gaps())

    def _find(self, request: web.Request) -> Json:
        return next(e for e in self.entries if e["id"] == request.match_info["id"])

    async def _get_entry(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self._find(request))

    async def _get_history(self, request: web.Request) -> web.StreamResponse:
        e = self._find(request)
        return self._list([{**e, "revision": 1, "deleted": False, "by": "Maya", "units": 6.0}, {**e, "by": "Dad"}])

    async def _post_entry(self, request: web.Request) -> web.StreamResponse:
        body, key = await request.json(), request.headers.get("Idempotency-Key")
        self.posts.append(("POST", "/v1/entries", body, key))
        if self.fail_posts:
            return self._problem(503, detail="the log is not reachable")
        if self.refuse and not body.get("confirm"):
            return self._problem(self.refuse[0], **self.refuse[1])
        if not key:
            return self._problem(400, detail="Idempotency-Key is missing")
        if key not in self.keys:
            self.keys[key] = f"n{len(self.entries)}"
            ms = datetime.fromisoformat(body["time"]).timestamp() * 1000
            fields = {k: v for k, v in body.items() if k not in ("time", "confirm")}
            self.entries.append(self._entry(self.keys[key], ms, {**fields, "by": "This phone"}))
        return web.json_response(
            {"id": self.keys[key], "position": {"topic": "entries", "partition": 0, "offset": 1}}, status=201
        )

    async def _change(self, request: web.Request) -> web.StreamResponse:
        e, body = self._find(request), await request.json() if request.can_read_body else {}
        self.posts.append((request.method, request.path, body, None))
        seen = int(body.pop("revision", None) or request.query.get("revision", 0))
        if seen != e["revision"]:
            return self._problem(409, code="conflict", detail="somebody else was quicker")
        if request.method == "DELETE":
            e["deleted"] = True
        elif request.method == "POST":
            e.update(e.pop("before", {"deleted": False}))
        else:
            e["before"] = {k: e[k] for k in body if k in e}
            e.update(body)
        e["revision"] += 1
        return web.json_response(
            {"id": e["id"], "position": {"topic": "entries", "partition": 0, "offset": 2}}, status=202
        )

    async def _ack(self, request: web.Request) -> web.StreamResponse:
        self.posts.append(("POST", request.path, await request.json(), None))
        for a in self.alerts:
            if a["id"] == request.match_info["id"]:
                a.update(acknowledged_ms=round(self.now()), acknowledged_by="This phone")
        return web.json_response({"id": "x"}, status=202)

    async def _snooze(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.posts.append(("POST", request.path, body, None))
        for a in self.alerts:
            if a["kind"] == body["kind"]:
                a.update(snoozed_until_ms=round(self.now() + body["minutes"] * MIN))
        return web.json_response({"id": "x"}, status=202)

    async def _lift(self, request: web.Request) -> web.StreamResponse:
        self.posts.append(("DELETE", request.path, {}, None))
        for a in self.alerts:
            if a["kind"] == request.match_info["kind"]:
                a.update(snoozed_until_ms=None)
        return web.json_response({"kind": request.match_info["kind"]}, status=202)


if __name__ == "__main__":
    server = StandIn()
    server.play(sys.argv[1] if len(sys.argv) > 1 else "in-range")
    print(server.url)
    threading.Event().wait()
