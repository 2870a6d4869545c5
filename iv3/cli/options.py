"""Options that many verbs share."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[Path, typer.Option("--data", help="Folder that holds everything iv3 keeps.")]
Config = Annotated[
    Path | None, typer.Option("--config", help="Configuration file; default: ./config.yaml if it is there.")
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
Clock = Annotated[str | None, typer.Option(help="For simulations: ORIGIN_MS/REAL_MS/SPEED, the same for each process.")]
DATA = Path("data")
ARCHIVE_HELP = "folder:PATH, or s3 for the configured bucket; default: the configured archive."
Archive = Annotated[str | None, typer.Option("--archive", help=ARCHIVE_HELP)]
