"""The command line: every verb, its options, and the exit codes (0 done, 1 failed, 2 usage or configuration)."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Option, Typer

from iv3.cli.fields import by_fields
from iv3.cli.groups import GROUPS
from iv3.cli.legacy import MOVING_IN
from iv3.cli.people import person_app
from iv3.options import (
    ARCHIVE_HELP,
    DATA,
    Clock,
    Config,
    Data,
    From,
    Host,
    Json,
    OpsHost,
    OpsPort,
    Port,
    SimulateOptions,
    UpOptions,
    WorkerData,
    WorkerName,
    WorkerOptions,
)
from iv3.output import fail

app = Typer(
    name="iv3",
    help="A self-hosted companion for people with type 1 diabetes on pens, and for those who watch over them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for _groups in (GROUPS, (person_app,), MOVING_IN):
    for _group in _groups:
        app.add_typer(_group)


def _version(asked: bool) -> None:  # noqa: FBT001 - typer calls it so
    if asked:
        from importlib.metadata import version

        typer.echo(f"iv3 {version('iv3')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """A self-hosted companion for people with type 1 diabetes on pens, and for those who watch over them."""
    del version


@app.command()
@by_fields
def up(options: UpOptions) -> None:
    """Run everything: log, agents, alarms, API and page."""
    from iv3.verbs.up import up as verb

    verb(options)


@app.command()
@by_fields
def worker(options: WorkerOptions) -> None:
    """Run some of the roles on a log that is shared on Kafka; any number of workers divide the people among them."""
    from iv3.verbs.worker import worker as verb

    verb(options)


@app.command()
def poller(
    name: WorkerName = None,
    data: WorkerData = DATA,
    config: Config = None,
    host: OpsHost = "127.0.0.1",
    port: OpsPort = 0,
) -> None:
    """A worker that only asks Dexcom: `iv3 worker --role poller`."""
    from iv3.verbs.worker import worker as verb

    verb(WorkerOptions("poller", name, data, config, host, port))


@app.command()
def api(
    data: Annotated[Path, Option("--data", help="Folder for what this process keeps.")] = DATA,
    config: Config = None,
    host: Host = None,
    port: Port = None,
    clock: Clock = None,
) -> None:
    """Run the API and the page alone, on a log that is shared on Kafka."""
    from iv3.verbs.worker import api as verb

    verb(data, config, host, port, clock)


@app.command()
def stop(
    data: Data = DATA,
    config: Config = None,
    pause: Annotated[
        str | None,
        Option("--for", help="Put the dead-man's switch off too: 30m, at most 2h. Else it stays armed."),
    ] = None,
) -> None:
    """Stop the `iv3 up` of this data folder. The dead-man's switch stays armed."""
    from iv3.verbs.stop import stop as verb

    verb(data, config, pause)


@app.command()
def init(
    config: Annotated[Path, Option("--config", help="File to write; never overwritten.")] = Path("config.yaml"),
) -> None:
    """Ask a few questions, try the Dexcom log-in, write config.yaml, send a test alarm."""
    from iv3.verbs.init import init as verb

    verb(config)


@app.command()
@by_fields
def simulate(options: SimulateOptions) -> None:
    """A fake Dexcom Share server on loopback, for trying out and for tests."""
    from iv3.verbs.simulate import simulate as verb

    verb(options)


@app.command()
def predict(predictor: Annotated[str, Option(help="ar2, linear or persistence.")] = "ar2") -> None:
    """Answer glucose events on standard input with forecasts, one JSON object a line."""
    from iv3.verbs.predict import predict as verb

    verb(predictor)


@app.command()
def replay(data: Data = DATA, config: Config = None, json_: Json = False) -> None:
    """Rebuild what charts and pages read from the log, verify it, and switch to it, while `iv3 up` goes on."""
    from iv3.verbs.log import replay as verb

    verb(data, config, as_json=json_)


@app.command()
def digest(data: Data = DATA, config: Config = None, json_: Json = False) -> None:
    """A fingerprint of the content per person, day and kind; equal wherever the content is equal."""
    from iv3.verbs.log import digest as verb

    verb(data, config, as_json=json_)


@app.command()
def topics(data: Data = DATA, config: Config = None, json_: Json = False) -> None:
    """The topics of the log: what each holds, and how much."""
    from iv3.verbs.log import topics as verb

    verb(data, config, as_json=json_)


@app.command()
def backup(
    to: Annotated[str | None, Option("--to", help=ARCHIVE_HELP)] = None,
    data: Data = DATA,
    config: Config = None,
    json_: Json = False,
) -> None:
    """Bring the archive up to the log's head now."""
    from iv3.verbs.archive import backup as verb

    verb(data, config, to, as_json=json_)


@app.command()
def verify(archive: From = None, config: Config = None, json_: Json = False) -> None:
    """Read the whole archive back and name every object that is missing, cut, swapped or flipped."""
    from iv3.verbs.archive import verify as verb

    verb(config, archive, as_json=json_)


@app.command()
def restore(archive: From = None, data: Data = DATA, config: Config = None, json_: Json = False) -> None:
    """Make a new log from the archive, byte for byte, in an empty data folder."""
    from iv3.verbs.archive import restore as verb

    verb(data, config, archive, as_json=json_)


@app.command("copy")
def copy_(
    source: Annotated[str, Option("--from", help="sqlite, kafka, or kafka://host:9092.")],
    target: Annotated[str, Option("--to", help="sqlite, kafka, or kafka://host:9092; it must be empty.")],
    partitions: Annotated[
        int | None, Option(min=1, max=1000, help="Of the copy; a file has the log's, topics kafka.partitions.")
    ] = None,
    data: Data = DATA,
    config: Config = None,
    json_: Json = False,
) -> None:
    """Copy the log from SQLite to Kafka or back, or to another Kafka, record for record, comparing each."""
    from iv3.verbs.copy import copy as verb

    verb(data, config, source, target, partitions, as_json=json_)


@app.command()
def bench(data: Data = DATA, json_: Json = False) -> None:
    """Measure what this machine does: durable writes, and events through the agents."""
    from iv3.verbs.bench import bench as verb

    verb(data, as_json=json_)


@app.command()
def doctor(data: Data = DATA, config: Config = None, json_: Json = False) -> None:
    """Look for what usually goes wrong, and name it."""
    from iv3.verbs.doctor import doctor as verb

    verb(data, config, as_json=json_)


@app.command("test-alarm")
def test_alarm(
    person: Annotated[str | None, Option(help="To the phone that is told of this person.")] = None,
    data: Data = DATA,
    config: Config = None,
) -> None:
    """Send a test alarm to the house's phone, or to a person's own."""
    from iv3.verbs.init import test_alarm as verb

    verb(config, person, data)


def run() -> None:
    """Run the verb that the command line names; every failure of ours ends as one sentence."""
    from iv3.supervise import UNEXPECTED, is_child
    from streams.errors import FailedPrecondition, StreamError, Transient

    try:
        app()
    except FailedPrecondition as error:
        fail(str(error), 2)
    except Transient as error:
        fail(str(error), UNEXPECTED if is_child() else 1)  # an outage passes: the supervisor tries again
    except StreamError as error:
        fail(str(error))
    except OSError as error:
        if error.filename is None:
            raise
        fail(f"{error.filename} cannot be used: {error.strerror}.", UNEXPECTED if is_child() else 1)
