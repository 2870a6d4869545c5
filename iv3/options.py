"""What the command line says: the options that many verbs share, and of each verb with more than a few all of them.
Imports nothing heavy, for the declarations, and `iv3 --help`, have it too.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

Data = Annotated[Path, Option("--data", help="Folder that holds everything iv3 keeps.")]
Config = Annotated[Path | None, Option("--config", help="Configuration file; default: ./config.yaml if it is there.")]
Json = Annotated[bool, Option("--json", help="Machine-readable output.")]
Clock = Annotated[str | None, Option(help="For simulations: ORIGIN_MS/REAL_MS/SPEED, the same for each process.")]
DATA = Path("data")
ARCHIVE_HELP = "folder:PATH, or s3 for the configured bucket; default: the configured archive."
Archive = Annotated[str | None, Option("--archive", help=ARCHIVE_HELP)]
From = Annotated[str | None, Option("--from", help=ARCHIVE_HELP)]

# Of processes that stay.
Host = Annotated[str | None, Option(help="Address to listen on; anything but loopback needs TLS.")]
Port = Annotated[int | None, Option(min=0, max=65535, help="Port; 0 takes a free one. Default 8080.")]
WorkerName = Annotated[str | None, Option(help="This worker's own name; default the machine's.")]
WorkerData = Annotated[Path, Option("--data", help="Folder for what this machine keeps.")]
OpsHost = Annotated[str, Option(help="Where /healthz, /readyz and /metrics are.")]
OpsPort = Annotated[int, Option(min=0, max=65535, help="Their port; 0 takes a free one.")]

# Of people, and of their history elsewhere.
Person = Annotated[str, Argument(help="The person's id: letters, digits, - and _; the key of everything in the log.")]
Names = Annotated[
    list[str] | None, Option("--map", help='What an insulin of the old program is called here: "lantus=Lantus".')
]


@dataclass(frozen=True, kw_only=True)
class LogOptions:
    """Of verbs that work on a log: which one, and how they answer."""

    data: Data = DATA
    config: Config = None
    as_json: Json = False


@dataclass(frozen=True)
class UpOptions:
    """Of `iv3 up`."""

    data: Annotated[Path | None, Option("--data", help="Data folder; default ./data, with --demo ./data-demo.")] = None
    config: Config = None
    host: Host = None
    port: Port = None
    demo: Annotated[bool, Option("--demo", help="A simulated person; nothing leaves this machine.")] = False
    csv: Annotated[Path | None, Option(help="With --demo: a recorded person instead of the simulated one.")] = None
    subject: Annotated[str | None, Option(help="With --csv: which person of the file; default the first.")] = None
    speed: Annotated[float, Option(min=1, max=5000, help="With --demo: how many times faster than real time.")] = 1.0
    ntfy_server: Annotated[str | None, Option(help="With --demo: a loopback ntfy to send alarms to.")] = None
    ntfy_topic: Annotated[str | None, Option(help="With --demo: its topic.")] = None
    alerts: Annotated[str | None, Option(help="on, or shadow: decided, not sent. Default: as configured.")] = None
    clock: Clock = None
    log: Annotated[str | None, Option(help="In place of the configured log: sqlite, or kafka://HOST:9092.")] = None
    series: Annotated[str | None, Option(help="In place of the configured series: sqlite or influxdb.")] = None
    archive: Annotated[str | None, Option(help="In place of the configured archive: none, folder:PATH or s3.")] = None


@dataclass(frozen=True)
class WorkerOptions:
    """Of `iv3 worker`."""

    role: Annotated[str, Option("--role", help="Roles, with commas; default all.")] = ""
    name: WorkerName = None
    data: WorkerData = DATA
    config: Config = None
    host: OpsHost = "127.0.0.1"
    port: OpsPort = 0
    clock: Clock = None


@dataclass(frozen=True)
class SimulateOptions:
    """Of `iv3 simulate`."""

    port: Annotated[int, Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8090
    csv: Annotated[Path | None, Option(help="A recorded person instead of the simulated one.")] = None
    subject: Annotated[str | None, Option(help="Which person of the file.")] = None
    fault: Annotated[str, Option(help="Fault modes, with commas; `help` lists them.")] = ""
    speed: Annotated[float, Option(min=1, max=5000, help="How many times faster than real time.")] = 1.0
    people: Annotated[int, Option(min=1, max=10_000, help="So many accounts, for load.")] = 1
    write: Annotated[Path | None, Option(help="With --people: write a config.yaml that watches them all.")] = None


@dataclass(frozen=True)
class TokenOptions:
    """Of `iv3 token new`."""

    role: Annotated[str, Option(help="owner, writer, uploader or reader.")]
    name: Annotated[str, Option(help='Whose device it is for, such as "Mum\'s phone".')]
    data: Data = DATA
    expires_days: Annotated[int | None, Option(min=1, max=3650, help="Days until it ends; default never.")] = None
    person: Annotated[list[str] | None, Option(help="Whom it opens, once for each; default: everybody.")] = None
    config: Config = None
    as_json: Json = False


@dataclass(frozen=True)
class PruneOptions(LogOptions):
    """Of `iv3 archive prune`."""

    archive: Archive = None
    keep_days: Annotated[int | None, Option(min=0, help="Days; default: archive_keep_days.")] = None
    lose: Annotated[
        list[str] | None, Option(help="An earlier log that may go although records of it are nowhere else.")
    ] = None
    dry_run: Annotated[bool, Option("--dry-run", help="Only say what would be removed, and what not.")] = False


@dataclass(frozen=True)
class ServiceOptions:
    """Of `iv3 service`: who runs it, and where config.yaml and the data lie."""

    user: Annotated[str, Option("--user", help="Who runs it; never root.")] = "iv3"
    folder: Annotated[Path, Option("--folder", help="Where config.yaml lies and the data will.")] = Path("/var/lib/iv3")


@dataclass(frozen=True)
class ImportOptions(LogOptions):
    """Of `iv3 import seed-influx`."""

    dry_run: Annotated[bool, Option("--dry-run", help="Only count; nothing is written.")] = False
    names: Names = None
    url: Annotated[str | None, Option(help="The old program's InfluxDB; default influxdb.url.")] = None
    org: Annotated[str | None, Option(help="Its organisation; default influxdb.org.")] = None


@dataclass(frozen=True)
class CompareOptions(LogOptions):
    """Of `iv3 compare seed`."""

    url: Annotated[str, Option(help="The old program's API, such as https://127.0.0.1:8443.")]
    user: Annotated[str | None, Option(help="Its api.username; default: as configured here.")] = None
    password_file: Annotated[
        Path | None, Option(help="File with its api.password; default: as configured here, else it is asked for.")
    ] = None
    cafile: Annotated[Path | None, Option(help="Its own certificate, to be trusted: _iv3_ssl/certfile.crt.")] = None
    hours: Annotated[float, Option(min=0.1, max=8784, help="How far back.")] = 24
    names: Names = None


@dataclass(frozen=True)
class AddOptions(LogOptions):
    """Of `iv3 person add`."""

    person: Person
    name: Annotated[str, Option(help="In front of every notification; default: the id.")] = ""
    birth_year: Annotated[int | None, Option(min=1900, max=2100)] = None
    zone: Annotated[str | None, Option(help="IANA time zone, such as Europe/Berlin.")] = None
    unit: Annotated[str | None, Option(help="mmol/L or mg/dL; default mmol/L.")] = None
    dexcom_account: Annotated[
        str,
        Option(help="The account that shares; its password is asked for. Without one readings come by upload."),
    ] = ""
    dexcom_region: Annotated[str, Option(help="us, ous or jp.")] = "us"
    dexcom_url: Annotated[str | None, Option(help="Another Share address; shows SIMULATED SOURCE.")] = None
    password_file: Annotated[
        Path | None, Option(help="File with the password, instead of asking; - is standard input.")
    ] = None
    own_phone: Annotated[bool, Option("--own-phone", help="Make an ntfy topic of their own, and print it.")] = False
    topic_file: Annotated[Path | None, Option(help="File with an ntfy topic of their own that is there already.")] = (
        None
    )
    replace_phone: Annotated[
        bool, Option("--replace-phone", help="The phone that is there already hears nothing more.")
    ] = False
    no_try: Annotated[bool, Option("--no-try", help="Do not try the Dexcom log-in first.")] = False


@dataclass(frozen=True)
class EraseOptions(LogOptions):
    """Of `iv3 person erase`."""

    person: Annotated[str, Argument(metavar="ID", help="The person's id.")]
    dry_run: Annotated[bool, Option("--dry-run", help="Only say what would go, and what remains elsewhere.")] = False
    yes: Annotated[bool, Option("--yes", help="Do not ask.")] = False
    lose: Annotated[
        list[str] | None,
        Option(help="An earlier log of the archive that may go although records of other people are nowhere else."),
    ] = None
