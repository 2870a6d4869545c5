"""The verb of somebody who moves in from the older Go program: `import`."""

from pathlib import Path
from typing import Annotated

import typer

import_app = typer.Typer(help="History from elsewhere.", no_args_is_help=True)

Data = Annotated[Path, typer.Option("--data", help="Folder that holds everything iv3 keeps.")]
Config = Annotated[
    Path | None, typer.Option("--config", help="Configuration file; default: ./config.yaml if it is there.")
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
Names = Annotated[
    list[str] | None, typer.Option("--map", help='What an insulin of the old program is called here: "lantus=Lantus".')
]
DATA = Path("data")


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
    from iv3.verbs import moving as verb

    verb.seed_influx(verb.ImportOptions(data, config, tuple(names or ()), url, org, dry_run), as_json_=json_)
