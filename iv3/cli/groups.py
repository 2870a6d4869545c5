"""Verbs of two words: tokens, the configuration, dead letters, the archive, the service."""

from pathlib import Path
from typing import Annotated

import typer

from iv3.cli.options import DATA, Archive, Config, Data, Json

token_app = typer.Typer(help="Access tokens: one per device and person.", no_args_is_help=True)
config_app = typer.Typer(help="The configuration.", no_args_is_help=True)
dead_app = typer.Typer(help="Records that could never be handled.", no_args_is_help=True)
archive_app = typer.Typer(
    help="The archive: what keeps it small, and proves that it can be restored.", no_args_is_help=True
)
service_app = typer.Typer(help="Keep iv3 running on this machine, with systemd.", no_args_is_help=True)


@token_app.command("new")
def token_new(
    role: Annotated[str, typer.Option(help="owner, writer, uploader or reader.")],
    name: Annotated[str, typer.Option(help='Whose device it is for, such as "Mum\'s phone".')],
    data: Data = DATA,
    expires_days: Annotated[
        int | None, typer.Option(min=1, max=3650, help="Days until it ends; default never.")
    ] = None,
    person: Annotated[list[str] | None, typer.Option(help="Whom it opens, once for each; default: everybody.")] = None,
    config: Config = None,
    json_: Json = False,
) -> None:
    """Make a token. It is printed once, last, and kept nowhere."""
    from iv3.verbs.tokens import TokenOptions
    from iv3.verbs.tokens import new as verb

    verb(data, config, TokenOptions(role, name, expires_days, tuple(person or ())), as_json=json_)


@token_app.command("list")
def token_list(data: Data = DATA, config: Config = None, json_: Json = False) -> None:
    """Every token that was made."""
    from iv3.verbs.tokens import list_tokens as verb

    verb(data, config, as_json=json_)


@token_app.command("revoke")
def token_revoke(
    token_id: Annotated[str, typer.Argument(help="The token's id, from `iv3 token list`.")],
    data: Data = DATA,
    config: Config = None,
) -> None:
    """End a token at once."""
    from iv3.verbs.tokens import revoke as verb

    verb(data, config, token_id)


@config_app.command("check")
def config_check(config: Config = None, json_: Json = False) -> None:
    """Say whether the configuration can be used, and what it means."""
    from iv3.verbs.doctor import config_check as verb

    verb(config, as_json=json_)


@dead_app.command("list")
def dead_letters_list(data: Data = DATA, config: Config = None, json_: Json = False) -> None:
    """Records that were given up: where they lie, which role gave up, why."""
    from iv3.verbs.log import dead_letters as verb

    verb(data, config, as_json=json_)


@dead_app.command("retry")
def dead_letters_retry(
    place: Annotated[str, typer.Argument(help="topic/partition/offset, from `iv3 dead-letters list`.")],
    data: Data = DATA,
    config: Config = None,
) -> None:
    """Append the record again, as it was, for every role to handle once more."""
    from iv3.verbs.log import retry as verb

    verb(data, config, place)


@archive_app.command("merge")
def archive_merge(archive: Archive = None, config: Config = None, json_: Json = False) -> None:
    """Merge the small segments of every day that is over into one. `iv3 up` does it once a day."""
    from iv3.verbs.archive import merge as verb

    verb(config, archive, as_json=json_)


@archive_app.command("drill")
def archive_drill(
    archive: Archive = None,
    scratch: Annotated[
        Path | None, typer.Option(help="Folder to restore into; default: one in the data folder.")
    ] = None,
    data: Data = DATA,
    config: Config = None,
    json_: Json = False,
) -> None:
    """Restore into a scratch folder, compare every record with the log, and remove it again. `iv3 up` does it once a
    week.
    """
    from iv3.verbs.archive import drill as verb

    verb(data, config, archive, scratch, as_json=json_)


@archive_app.command("prune")
def archive_prune(
    archive: Archive = None,
    keep_days: Annotated[int | None, typer.Option(min=0, help="Days; default: archive_keep_days.")] = None,
    lose: Annotated[
        list[str] | None, typer.Option(help="An earlier log that may go although records of it are nowhere else.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed, and what not.")] = False,
    data: Data = DATA,
    config: Config = None,
    json_: Json = False,
) -> None:
    """Remove earlier logs from the archive: those before a restore, whose every record is in the log in use."""
    from iv3.verbs.archive import PruneOptions
    from iv3.verbs.archive import prune as verb

    verb(data, config, PruneOptions(archive, keep_days, tuple(lose or ()), dry_run=dry_run), as_json=json_)


User = Annotated[str, typer.Option("--user", help="Who runs it; never root.")]
Folder = Annotated[Path, typer.Option("--folder", help="Where config.yaml lies and the data will.")]


@service_app.command("show")
def service_show(user: User = "iv3", folder: Folder = Path("/var/lib/iv3")) -> None:
    """Print the systemd unit."""
    from iv3.verbs import service as verb

    verb.show(verb.ServiceOptions(user, folder))


@service_app.command("install")
def service_install(user: User = "iv3", folder: Folder = Path("/var/lib/iv3")) -> None:
    """Write the unit and start it, now and with the machine."""
    from iv3.verbs import service as verb

    verb.install(verb.ServiceOptions(user, folder))
