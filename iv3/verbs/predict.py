"""`iv3 predict`: the NDJSON protocol of the streaming evaluator."""

import json
import sys

from iv3.output import fail
from processors.predictors.evaluation import answer
from processors.predictors.registry import PREDICTORS
from streams.errors import Misconfigured


def predict(name: str) -> None:
    """Answer events on standard input until it ends. A `start` event begins a new person."""
    if name not in PREDICTORS:
        raise Misconfigured(f"There is no predictor {name!r}; there are {', '.join(sorted(PREDICTORS))}.")
    predictor = PREDICTORS[name]()
    for number, line in enumerate(sys.stdin, 1):
        try:
            event = json.loads(line)
            if event["type"] == "start":
                predictor = PREDICTORS[name]()
                continue
            said = answer(predictor, event)
        except (ValueError, KeyError, TypeError) as error:
            fail(f"line {number} of the input is no event: {error!r}", 2)
        if said is not None:
            sys.stdout.write(json.dumps(said) + "\n")
            sys.stdout.flush()
