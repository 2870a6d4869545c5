"""`iv3 alerts on`: out of shadow, once somebody has heard that alarms arrive."""

import sys
from pathlib import Path

from iv3 import config as configuration
from iv3.operations.trial_alarm import until_it_rang
from iv3.output import fail
from streams.errors import FailedPrecondition


def alerts_on(config: Path | None) -> None:
    """Send a test alarm until somebody says that it rang; exit 1 if nobody does, 2 if there is nowhere to send it."""
    settings = configuration.load(config)
    configuration.refuse_unusable(settings)
    if not settings.topic:
        raise FailedPrecondition(
            "ALARMS ARE OFF: neither ntfy.topic nor iv3.endpoint is set, so there is nowhere to send a test alarm."
        )
    if not until_it_rang(settings):
        fail("Nobody has said that the test alarm rang, so alarms stay as they are.")
    if settings.alerts == "shadow":
        where = config or Path("config.yaml")
        sys.stdout.write(
            f"Now write `alerts: on` instead of `alerts: shadow` in {where} (or IV3_ALERTS), and start `iv3 up` "
            "again.\n"
        )
    else:
        sys.stdout.write("Now stop the `iv3 up` that runs in shadow (iv3 stop), and start `iv3 up`.\n")
    sys.stdout.write("What was decided in shadow does not ring; what is decided from then on does.\n")
