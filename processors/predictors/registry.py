"""The predictors by name, and which one is live."""

from collections.abc import Callable

from processors.predictors.ar2 import Ar2
from processors.predictors.baselines import Linear, Persistence
from processors.predictors.protocol import Prediction, Predictor
from processors.readings import Reading
from schemas.forecasts import ForecastMade

PREDICTORS: dict[str, Callable[[], Predictor]] = {"persistence": Persistence, "ar2": Ar2, "linear": Linear}
LIVE = "ar2"


def called_low_unstated(forecast: ForecastMade, reading: Reading, limit_mgdl: float) -> bool:
    """The alarm call of a forecast that does not state it: one of an earlier release, which the rule of its predictor
    was asked about, or else AR2's.
    """
    make = PREDICTORS.get(forecast.predictor, PREDICTORS["ar2"])
    return bool(make().calls_low(reading, Prediction(forecast.mean_mgdl), limit_mgdl))
