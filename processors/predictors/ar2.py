"""AR2: Nightscout's second-order autoregression on ln(glucose/140), with its cone as the band.

y' = -0.723 y[-1] + 1.716 y, clamped to 36-400 mg/dL; the alarm rule is the mean of log10(p/120)^2 over the next steps
above 0.05 together with a value below the limit at 20 min (lib/plugins/ar2.js; coefficients only, the code is ours).
The cone is read as one standard deviation of ln(glucose); it is not calibrated to any person.
"""

import math
from collections.abc import Mapping
from typing import Any

from processors.predictors.protocol import LEAST_MGDL, MOST_MGDL, STEP_20_MIN, Prediction
from processors.readings import Reading
from schemas.envelope import Event
from schemas.forecasts import STEPS

_CENTRE_MGDL = 140.0
_OLDER, _NEWER = -0.723, 1.716
CONE = (0.020, 0.041, 0.061, 0.081, 0.099, 0.116, 0.132, 0.146, 0.159, 0.171, 0.182, 0.192)
_SHORTEST_GAP_S, _LONGEST_GAP_S = 150, 1200
_LOSS_STEPS = 7
_LOSS_DIVISOR = 6
_LOSS_LIMIT = 0.05
_LOSS_KNOWS_MGDL = 75.0  # a level curve below about 74 has a loss above the limit


class Ar2:
    """The AR2 predictor. It needs a reading from 2.5 to 20 min ago: with none there is no slope to go on. A sensor of
    one minute has several; the last of them counts.
    """

    name = "ar2"
    calibrated = False

    def __init__(self) -> None:
        self._recent: list[tuple[float, float]] = []

    def take(self, happened: Reading | Event) -> Prediction | None:
        """See `Predictor.take`. A revised value takes the place of the one it revises."""
        if isinstance(happened, Event):
            return None
        seconds, glucose = happened.time_ms / 1000, happened.glucose_mgdl
        self._recent = [
            pair for pair in self._recent if seconds - pair[0] <= _LONGEST_GAP_S and seconds // 1 != pair[0] // 1
        ]
        known = [pair for pair in self._recent if seconds - pair[0] >= _SHORTEST_GAP_S]
        self._recent.append((seconds, glucose))
        if not known:
            return None
        then, was = known[-1]
        before = glucose + (was - glucose) * 300 / (seconds - then)
        older, newer = math.log(max(before, 20) / _CENTRE_MGDL), math.log(glucose / _CENTRE_MGDL)
        curve = []
        for _ in range(STEPS):
            older, newer = newer, _OLDER * older + _NEWER * newer
            curve.append(min(MOST_MGDL, max(LEAST_MGDL, _CENTRE_MGDL * math.exp(newer))))
        return Prediction(tuple(curve), CONE)

    def calls_low(self, reading: Reading, prediction: Prediction, limit_mgdl: float) -> bool:
        """See `Predictor.calls_low`. The loss was made for 70 mg/dL; a higher limit was chosen by somebody who wants to
        hear of it earlier.
        """
        curve = prediction.mean_mgdl
        loss = sum(math.log10(value / 120) ** 2 for value in curve[:_LOSS_STEPS]) / _LOSS_DIVISOR
        grave = loss > _LOSS_LIMIT or limit_mgdl > _LOSS_KNOWS_MGDL
        return grave and curve[STEP_20_MIN] < limit_mgdl <= reading.glucose_mgdl

    def dump(self) -> dict[str, Any]:
        """See `Predictor.dump`."""
        return {"recent": self._recent}

    def load(self, state: Mapping[str, Any]) -> None:
        """See `Predictor.load`."""
        self._recent = [(seconds, glucose) for seconds, glucose in state["recent"]]
