"""The verbs of somebody who moves in from the older Go program: `import`, `compare` and `alerts`."""

from pathlib import Path
from typing import Annotated

import typer

from iv3.cli.options import DATA, Config, Data, Json

alerts_app = typer.Typer(help="Alarms in shadow, and out of it.", no_args_is_help=True)
compare_app = typer.Typer(help="iv3 beside another program.", no_args_is_help=True)
import_app = typer.Typer(help="History from elsewhere.", no_args_is_help=True)

Names = Annotated[
    list[str] | None, typer.Option("--map", help='What an insulin of the old program is called here: "lantus=Lantus".')
]


def add_moving_verbs(app: typer.Typer) -> None:
    """Add them to the command line."""
    for group, name in ((import_app, "import"), (alerts_app, "alerts"), (compare_app, "compare")):
        app.add_typer(group, name=name)


@import_app.callback()
def of_import() -> None:
    """History from elsewhere."""


@import_app.command("seed-influx")
def import_seed_influx(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count; nothing is written.")] = False,
    names: Names = None,
    url: Annotated[str | None, typer.Option(help="The old program's InfluxDB; default influxdb.url.")] = None,
    org: Annotated[str | None, typer.Option(help="Its organisation; default influxdb.org.")] = None,
    data: Data = DATA,
    config: Config = None,
    json_: Json = False,
) -> None:
    """Append the readings, doses and carbs that the older Go program left in InfluxDB. Again: only what is new."""
    from iv3.verbs import import_legacy as verb

    verb.seed_influx(verb.ImportOptions(data, config, tuple(names or ()), url, org, dry_run), as_json_=json_)


@alerts_app.callback()
def of_alerts() -> None:
    """Alarms in shadow, and out of it."""


@alerts_app.command("on")
def alerts_on(config: Config = None) -> None:
    """Leave shadow: send a test alarm, which must be acknowledged, and say what to start."""
    from iv3.verbs.alerts import alerts_on as verb

    verb(config)


@compare_app.callback()
def of_compare() -> None:
    """iv3 beside another program."""


@compare_app.command("seed")
def compare_seed(
    url: Annotated[str, typer.Option(help="The old program's API, such as https://127.0.0.1:8443.")],
    user: Annotated[str | None, typer.Option(help="Its api.username; default: as configured here.")] = None,
    password_file: Annotated[
        Path | None, typer.Option(help="File with its api.password; default: as configured here, else it is asked for.")
    ] = None,
    cafile: Annotated[
        Path | None, typer.Option(help="Its own certificate, to be trusted: _iv3_ssl/certfile.crt.")
    ] = None,
    hours: Annotated[float, typer.Option(min=0.1, max=8784, help="How far back.")] = 24,
    names: Names = None,
    data: Data = DATA,
    config: Config = None,
    json_: Json = False,
) -> None:
    """Compare readings, doses and carbs with the running older Go program; exit 1 if anything differs."""
    from iv3.verbs import compare_legacy as verb

    verb.seed(
        verb.CompareOptions(url, user, password_file, cafile, hours, tuple(names or ()), data, config), as_json=json_
    )
