"""`iv3 person`: who is watched. People come and go while iv3 runs."""

from typer import Typer

from iv3.cli.fields import by_fields
from iv3.options import DATA, AddOptions, Config, Data, EraseOptions, Json, Person

person_app = Typer(name="person", help="People: who is watched, without a restart.", no_args_is_help=True)


@person_app.command("add")
@by_fields
def person_add(options: AddOptions) -> None:
    """Watch a person from now on; again: take up who was suspended, or enter the account once more."""
    from iv3.verbs.people import add as verb

    verb(options)


@person_app.command("list")
def person_list(data: Data = DATA, config: Config = None, json_: Json = False) -> None:
    """Everybody: whether they are watched, where readings come from, who is told."""
    from iv3.verbs.people import list_people as verb

    verb(data, config, as_json=json_)


@person_app.command("suspend")
def person_suspend(person: Person, data: Data = DATA, config: Config = None) -> None:
    """Neither ask for this person's readings nor alarm for them any more. The history and the account stay."""
    from iv3.verbs.people import suspend as verb

    verb(data, config, person)


@person_app.command("resume")
def person_resume(person: Person, data: Data = DATA, config: Config = None) -> None:
    """Watch a person again who was suspended."""
    from iv3.verbs.people import resume as verb

    verb(data, config, person)


@person_app.command("erase")
@by_fields
def person_erase(options: EraseOptions) -> None:
    """Take one person out of log, archive and charts, for ever, while iv3 is stopped; say what remains elsewhere.
    Interrupted: run it again.
    """
    from iv3.verbs.erase import erase as verb

    verb(options)
