"""`iv3 person`: who is watched. People come and go while iv3 runs."""

from pathlib import Path
from typing import Annotated

import typer

from iv3.cli.options import DATA, Config, Data, Json

person_app = typer.Typer(help="People: who is watched, without a restart.", no_args_is_help=True)

Person = Annotated[
    str, typer.Argument(help="The person's id: letters, digits, - and _; the key of everything in the log.")
]


@person_app.command("add")
def person_add(
    person: Person,
    name: Annotated[str, typer.Option(help="In front of every notification; default: the id.")] = "",
    birth_year: Annotated[int | None, typer.Option(min=1900, max=2100)] = None,
    zone: Annotated[str | None, typer.Option(help="IANA time zone, such as Europe/Berlin.")] = None,
    unit: Annotated[str | None, typer.Option(help="mmol/L or mg/dL; default mmol/L.")] = None,
    dexcom_account: Annotated[
        str,
        typer.Option(help="The account that shares; its password is asked for. Without one readings come by upload."),
    ] = "",
    dexcom_region: Annotated[str, typer.Option(help="us, ous or jp.")] = "us",
    dexcom_url: Annotated[str | None, typer.Option(help="Another Share address; shows SIMULATED SOURCE.")] = None,
    password_file: Annotated[
        Path | None, typer.Option(help="File with the password, instead of asking; - is standard input.")
    ] = None,
    own_phone: Annotated[
        bool, typer.Option("--own-phone", help="Make an ntfy topic of their own, and print it.")
    ] = False,
    topic_file: Annotated[
        Path | None, typer.Option(help="File with an ntfy topic of their own that is there already.")
    ] = None,
    replace_phone: Annotated[
        bool, typer.Option("--replace-phone", help="The phone that is there already hears nothing more.")
    ] = False,
    no_try: Annotated[bool, typer.Option("--no-try", help="Do not try the Dexcom log-in first.")] = False,
    data: Data = DATA,
    config: Config = None,
    json_: Json = False,
) -> None:
    """Watch a person from now on; again: take up who was suspended, or enter the account once more."""
    from iv3.verbs import people as verb

    options = verb.AddOptions(
        person,
        name,
        birth_year,
        zone,
        unit,
        dexcom_account,
        dexcom_region,
        dexcom_url,
        password_file,
        own_phone,
        topic_file,
        not no_try,
        replace_phone,
    )
    verb.add(data, config, options, as_json=json_)


@person_app.command("list")
def person_list(data: Data = DATA, config: Config = None, json_: Json = False) -> None:
    """Everybody: whether they are watched, where readings come from, who is told."""
    from iv3.verbs import people as verb

    verb.list_people(data, config, as_json=json_)


@person_app.command("suspend")
def person_suspend(person: Person, data: Data = DATA, config: Config = None) -> None:
    """Neither ask for this person's readings nor alarm for them any more. The history and the account stay."""
    from iv3.verbs import people as verb

    verb.suspend(data, config, person)


@person_app.command("resume")
def person_resume(person: Person, data: Data = DATA, config: Config = None) -> None:
    """Watch a person again who was suspended."""
    from iv3.verbs import people as verb

    verb.resume(data, config, person)


@person_app.command("erase")
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
    """Take one person out of log, archive and charts, for ever, while iv3 is stopped; say what remains elsewhere.
    Interrupted: run it again.
    """
    from iv3.verbs.erase import EraseOptions
    from iv3.verbs.erase import erase as verb

    verb(EraseOptions(person, data, config, dry_run=dry_run, yes=yes, lose=tuple(lose or ())), as_json=json_)
