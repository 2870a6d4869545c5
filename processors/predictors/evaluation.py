"""The NDJSON protocol of the streaming evaluator: one event in, for glucose one answer out. See
docs/reference/predictors.md.
"""

from typing import Any

from processors.predictors.protocol import LIKELIER_THAN_NOT, Prediction, Predictor
from processors.readings import Reading

LOW_MGDL = 70.0
_HORIZONS = {"15": 2, "30": 5, "45": 8, "60": 11}
_Z80, _Z95 = 1.2815515655446004, 1.959963984540054
_SCORED_STEPS = 6


def answer(predictor: Predictor, event: dict[str, Any]) -> dict[str, Any] | None:
    """The answer to one event; None to an event that wants none. Raises ValueError for an event that does not follow
    the protocol.
    """
    if event.get("type") != "glucose":
        return None
    try:
        reading = Reading(round(float(event["ts"]) * 1000), float(event["value"]), None, "evaluator", "")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"a glucose event needs numbers in ts and value: {error!r}") from error
    prediction = predictor.take(reading)
    if prediction is None:  # nothing honest to say: the evaluator scores that as "no change"
        return {"pred": dict.fromkeys(_HORIZONS, reading.glucose_mgdl)}
    curve = prediction.mean_mgdl
    said: dict[str, Any] = {"pred": {horizon: curve[n] for horizon, n in _HORIZONS.items()}}
    if predictor.name != "persistence":
        called = predictor.calls_low(reading, prediction, LOW_MGDL)
        said["alert_low"] = called if called is not None else prediction.chance_below(LOW_MGDL) > LIKELIER_THAN_NOT
        said |= _scores(prediction)
    if prediction.sd_log is not None:
        for name, z in (("lo80", -_Z80), ("hi80", _Z80), ("lo95", -_Z95), ("hi95", _Z95)):
            edge = prediction.quantile(z)
            said[name] = {horizon: edge[n] for horizon, n in _HORIZONS.items()}
    return said


def _scores(prediction: Prediction) -> dict[str, float]:
    """What ranks alarms where no calibrated chance is claimed: how low and how high the curve goes within 30 min."""
    curve = prediction.mean_mgdl[:_SCORED_STEPS]
    return {"score_low": -min(curve), "score_high": max(curve)}
