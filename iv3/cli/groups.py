"""Verbs of two words: tokens, the configuration, dead letters, the archive, the service."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option, Typer

from iv3.cli.fields import by_fields
from iv3.options import DATA, Archive, Config, Data, Json, PruneOptions, ServiceOptions, TokenOptions

token_app = Typer(name="token", help="Access tokens: one per device and person.", no_args_is_help=True)
config_app = Typer(name="config", help="The configuration.", no_args_is_help=True)
dead_app = Typer(name="dead-letters", help="Records that could never be handled.", no_args_is_help=True)
_PURPOSE = "The archive: what keeps it small, and proves that it can be restored."
archive_app = Typer(name="archive", help=_PURPOSE, no_args_is_help=True)
service_app = Typer(name="service", help="Keep iv3 running on this machine, with systemd.", no_args_is_help=True)
GROUPS = (token_app, config_app, dead_app, archive_app, service_app)


@token_app.command("new")
@by_fields
def token_new(options: TokenOptions) -> None:
    """Make a token. It is printed once, last, and kept nowhere."""
    from iv3.verbs.tokens import new as verb

    verb(options)


@token_app.command("list")
def token_list(data: Data = DATA, config: Config = None, json_: Json = False) -> None:
    """Every token that was made."""
    from iv3.verbs.tokens import list_tokens as verb

    verb(data, config, as_json=json_)


@token_app.command("revoke")
def token_revoke(
    token_id: Annotated[str, Argument(help="The token's id, from `iv3 token list`.")],
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
    place: Annotated[str, Argument(help="topic/partition/offset, from `iv3 dead-letters list`.")],
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
    scratch: Annotated[Path | None, Option(help="Folder to restore into; default: one in the data folder.")] = None,
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
@by_fields
def archive_prune(options: PruneOptions) -> None:
    """Remove earlier logs from the archive: those before a restore, whose every record is in the log in use."""
    from iv3.verbs.archive import prune as verb

    verb(options)


@service_app.command("show")
@by_fields
def service_show(options: ServiceOptions) -> None:
    """Print the systemd unit."""
    from iv3.verbs.service import show as verb

    verb(options)


@service_app.command("install")
@by_fields
def service_install(options: ServiceOptions) -> None:
    """Write the unit and start it, now and with the machine."""
    from iv3.verbs.service import install as verb

    verb(options)
