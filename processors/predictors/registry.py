"""The predictors by name, and which one is live."""

from collections.abc import Callable

from processors.predictors.ar2 import Ar2
from processors.predictors.baselines import Linear, Persistence
from processors.predictors.protocol import Predictor

PREDICTORS: dict[str, Callable[[], Predictor]] = {"persistence": Persistence, "ar2": Ar2, "linear": Linear}
LIVE = "ar2"
