"""`iv3 person erase`: the one verb that takes something out of the log."""

from typing import Annotated

import typer

from iv3.cli.options import DATA, Config, Data, Json


def add_erase(person_app: typer.Typer) -> None:
    """Add it to the verbs about people."""
    person_app.command("erase")(person_erase)


def person_erase(
    person: Annotated[str, typer.Argument(metavar="ID", help="The person's id.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would go, and what remains elsewhere.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    lose: Annotated[
        list[str] | None,
        typer.Option(
            help="An earlier log of the archive that may go although records of other people are nowhere else."
        ),
    ] = None,
    data: Data = DATA,
    config: Config = None,
    json_: Json = False,
) -> None:
    """Take one person out of log, archive and charts, for ever, while iv3 is stopped; say what remains elsewhere. Interrupted: run it again."""
    from iv3.verbs.erase import EraseOptions
    from iv3.verbs.erase import erase as verb

    verb(EraseOptions(person, data, config, dry_run=dry_run, yes=yes, lose=tuple(lose or ())), as_json=json_)
