"""AR2: Nightscout's second-order autoregression on ln(glucose/140), with its cone as the band.

y' = -0.723 y[-1] + 1.716 y, clamped to 36-400 mg/dL; the alarm rule is the mean of log10(p/120)^2 over the next steps above 0.05 together
with a value below the limit at 20 min (lib/plugins/ar2.js; coefficients only, the code is ours). The cone is read as one standard deviation of
ln(glucose); it is not calibrated to any person.
"""

import math

from processors.predictors.protocol import LEAST_MGDL, MOST_MGDL, Prediction
from processors.readings import Reading
from schemas.forecasts import STEPS

_CENTRE_MGDL = 140.0
_OLDER, _NEWER = -0.723, 1.716
CONE = (0.020, 0.041, 0.061, 0.081, 0.099, 0.116, 0.132, 0.146, 0.159, 0.171, 0.182, 0.192)
_SHORTEST_GAP_S, _LONGEST_GAP_S = 150, 1200
_LOSS_STEPS = 7
_LOSS_DIVISOR = 6
_LOSS_LIMIT = 0.05
_AT_20_MIN = 3


class Ar2:
    """Needs the reading before: with none within 20 min there is no slope to go on."""

    name = "ar2"

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None

    def read(self, reading: Reading) -> Prediction | None:
        """See `Predictor.read`."""
        seconds, glucose = reading.time_ms / 1000, reading.glucose_mgdl
        last, self._last = self._last, (seconds, glucose)
        if last is None or not _SHORTEST_GAP_S <= seconds - last[0] <= _LONGEST_GAP_S:
            return None
        before = glucose + (last[1] - glucose) * 300 / (seconds - last[0])
        older, newer = math.log(max(before, 20) / _CENTRE_MGDL), math.log(glucose / _CENTRE_MGDL)
        curve = []
        for _ in range(STEPS):
            older, newer = newer, _OLDER * older + _NEWER * newer
            curve.append(min(MOST_MGDL, max(LEAST_MGDL, _CENTRE_MGDL * math.exp(newer))))
        return Prediction(tuple(curve), CONE)

    def alert_low(self, reading: Reading, prediction: Prediction, limit_mgdl: float) -> bool:
        """See `Predictor.alert_low`."""
        curve = prediction.mean_mgdl
        loss = sum(math.log10(value / 120) ** 2 for value in curve[:_LOSS_STEPS]) / _LOSS_DIVISOR
        return loss > _LOSS_LIMIT and curve[_AT_20_MIN] < limit_mgdl <= reading.glucose_mgdl

    def dump(self) -> list[float]:
        """See `Predictor.dump`."""
        return list(self._last or ())

    def load(self, state: list[float]) -> None:
        """See `Predictor.load`."""
        self._last = (state[0], state[1]) if state else None
