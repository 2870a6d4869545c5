"""The verbs of somebody who moves in from the older Go program: `import`, `compare` and `alerts`."""

from typer import Typer

from iv3.cli.fields import by_fields
from iv3.options import CompareOptions, Config, ImportOptions

alerts_app = Typer(name="alerts", help="Alarms in shadow, and out of it.", no_args_is_help=True)
compare_app = Typer(name="compare", help="iv3 beside another program.", no_args_is_help=True)
import_app = Typer(name="import", help="History from elsewhere.", no_args_is_help=True)
MOVING_IN = (import_app, alerts_app, compare_app)


@import_app.command("seed-influx")
@by_fields
def import_seed_influx(options: ImportOptions) -> None:
    """Append the readings, doses and carbs that the older Go program left in InfluxDB. Again: only what is new."""
    from iv3.verbs.import_legacy import seed_influx as verb

    verb(options)


@alerts_app.command("on")
def alerts_on(config: Config = None) -> None:
    """Leave shadow: send a test alarm, which must be acknowledged, and say what to start."""
    from iv3.verbs.alerts import alerts_on as verb

    verb(config)


@compare_app.command("seed")
@by_fields
def compare_seed(options: CompareOptions) -> None:
    """Compare readings, doses and carbs with the running older Go program; exit 1 if anything differs."""
    from iv3.verbs.compare_legacy import seed as verb

    verb(options)
