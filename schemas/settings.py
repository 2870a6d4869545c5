"""The configuration after loading: every key, its default and its limits. The keys of the Go iv3 keep their names and
meaning.

Loading (files, environment, secrets) is `iv3/config.py`; each part of the program is given its slice, never the whole.
"""

from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator

from schemas.model import PersonId
from schemas.units import Unit, mgdl

LEGACY_LOW_DEFAULT_MGDL = 100.0  # what the seed took for an absent low_threshold; /config and /dtd keep that meaning


class Setting(BaseModel):
    """A group of settings. Unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _threshold(value: object) -> object:
    """A number of mg/dL; a text may name its unit, "4.0 mmol/L"."""
    if isinstance(value, str):
        number, _, unit = value.strip().partition(" ")
        try:
            amount = float(number.replace(",", "."))
        except ValueError:
            raise ValueError(f"is {value!r}; write a number of mg/dL, or '4.0 mmol/L'") from None
        return round(mgdl(amount)) if unit.strip().lower() == "mmol/l" else amount
    return value


Threshold = Annotated[float, BeforeValidator(_threshold)]


class DexcomSettings(Setting):
    """The Dexcom account that shares. `url` overrides the Share address and shows SIMULATED SOURCE."""

    account: str = ""
    password: SecretStr = SecretStr("")
    region: Literal["us", "ous", "jp"] = "us"
    url: str | None = None


class InsulinSettings(Setting):
    """One insulin: minutes of action and of its peak; `long` or `short`."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    duration: Annotated[float, Field(gt=0, le=5000)]
    peak: Annotated[float, Field(ge=0, le=2500)] = 0
    period_type: Literal["long", "short", ""] = ""
    every_h: Annotated[float, Field(gt=0, le=168)] | None = None


class ApiSettings(Setting):
    """The API's address and TLS; `username` and `password` open the nine routes of the Go iv3 only."""

    username: str = ""
    password: SecretStr = SecretStr("")
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    public_url: str | None = None
    certfile: str | None = None
    keyfile: str | None = None


def _endpoint(value: str) -> str:
    if not value or value.startswith(("https://", "http://")):
        return value.rstrip("/")
    if "://" in value:
        raise ValueError("must begin with https:// (or http:// on this machine)")
    return f"https://{value.rstrip('/')}"


_PREFIX = r"^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*/?$|^$"


class S3Settings(Setting):
    """The bucket of the archive. The first four are those of the Go iv3; its own objects in the bucket are never
    touched: ours lie under `prefix`.
    """

    endpoint: Annotated[str, AfterValidator(_endpoint)] = ""  # empty: Amazon's own for `region`
    bucket: str = ""
    key: str = ""
    secret: SecretStr = SecretStr("")
    # As the seed, and most that are not Amazon.
    region: Annotated[str, Field(min_length=1, max_length=60)] = "us-east-1"
    path_style: bool = False
    prefix: Annotated[str, Field(pattern=_PREFIX)] = "iv3"


def _influx_address(value: str) -> str:
    if not value.startswith(("https://", "http://")):
        raise ValueError("must begin with http:// or https://, such as http://localhost:8086")
    return value.rstrip("/")


class InfluxSettings(Setting):
    """An InfluxDB 2.7 or newer, for `series: influxdb`. Buckets are named `<database>_v<n>`; `database` itself is what
    InfluxQL asks for.
    """

    url: Annotated[str, AfterValidator(_influx_address)] = "http://localhost:8086"
    token: SecretStr = SecretStr("")
    org: Annotated[str, Field(min_length=1, max_length=200)] = "iv3"
    database: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,39}$")] = "iv3"


class ThresholdSettings(Setting):
    """Unit and thresholds of one person. Thresholds are mg/dL whatever `unit` says; 0 or absent means the default."""

    GROUP: ClassVar[str] = ""  # where they stand in the configuration

    unit: Unit = "mmol/L"
    low_threshold: Threshold = 0
    high_threshold: Threshold = 0
    missing_long_threshold: Annotated[float, Field(ge=0, le=168)] = 0

    @field_validator("low_threshold")
    @classmethod
    def _low(cls, value: float) -> float:
        return _in_mgdl(value, f"{cls.GROUP}low_threshold", 40, 150)

    @field_validator("high_threshold")
    @classmethod
    def _high(cls, value: float) -> float:
        return _in_mgdl(value, f"{cls.GROUP}high_threshold", 100, 400)


class LegacyInfluxSettings(ThresholdSettings):
    """The section `iv3` of the Go iv3: the default person's thresholds, and the address of the phone."""

    GROUP: ClassVar[str] = "iv3."

    endpoint: str = ""


def _in_mgdl(value: float, name: str, least: float, most: float) -> float:
    if value == 0 or least <= value <= most:
        return value
    if 0 < value <= 25:
        said = f"for {value:.1f} mmol/L write {round(mgdl(value))} or '{value:.1f} mmol/L'"
        raise ValueError(f"{name} is {value:g}; {said}")
    raise ValueError(f"{name} is {value:g}; it must lie between {least:g} and {most:g} mg/dL, or be 0 for the default")


class SmtpSettings(Setting):
    """A mail server. `encryption` none is for one on this machine."""

    host: str = ""
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    sender: str = ""
    to: tuple[str, ...] = ()
    username: str = ""
    password: SecretStr | None = None
    encryption: Literal["starttls", "tls", "none"] = "starttls"


class FallbackSettings(Setting):
    """The second way out: one of `WAYS`."""

    WAYS: ClassVar[tuple[str, ...]] = ("topic", "webhook", "smtp")

    server: str = "https://ntfy.sh"
    topic: str = ""
    token: SecretStr | None = None
    webhook: SecretStr | None = None
    webhook_token: SecretStr | None = None
    smtp: SmtpSettings = SmtpSettings()

    @property
    def ways(self) -> list[str]:
        """Those of `WAYS` that are set."""
        said = (self.topic, self.webhook, self.smtp.host)
        return [name for name, there in zip(self.WAYS, said, strict=True) if there]


def _ntfy_server(value: str) -> str:
    if not value.startswith(("https://", "http://")):
        raise ValueError("must begin with https:// (or http:// on this machine)")
    return value.rstrip("/")


NtfyServer = Annotated[str, AfterValidator(_ntfy_server)]


class NtfySettings(Setting):
    """The ntfy server and topic of the house. `topic` wins over the Go iv3's `iv3.endpoint`."""

    server: NtfyServer = "https://ntfy.sh"
    topic: str = ""
    token: SecretStr | None = None
    fallback: FallbackSettings = FallbackSettings()
    dead_man: bool = True


def _zone(value: str | None) -> str | None:
    if value is not None and value not in available_timezones():
        raise ValueError(f"{value!r} is no IANA time zone; write it like Europe/Berlin")
    return value


class PersonSettings(Setting):
    """The default person."""

    id: PersonId = "me"
    name: Annotated[str, Field(max_length=80)] = ""
    birth_year: Annotated[int, Field(ge=1900, le=2100)] | None = None
    zone: Annotated[str | None, AfterValidator(_zone)] = None
    max_rapid_units: Annotated[float, Field(gt=0, le=100)] = 15


class OwnNtfySettings(Setting):
    """One person's own ntfy topic; without a topic the house's is told."""

    server: NtfyServer | None = None  # None: the house's
    topic: Annotated[str, Field(max_length=64)] = ""
    token: SecretStr | None = None


class WatchedSettings(PersonSettings, ThresholdSettings):
    """One of `people`: whom iv3 watches besides, or instead of, `person`."""

    id: PersonId
    insulin: tuple[InsulinSettings, ...] = ()
    dexcom: DexcomSettings = DexcomSettings()
    ntfy: OwnNtfySettings = OwnNtfySettings()


class CredentialsSettings(Setting):
    """The encrypted file of what `iv3 person add` was told. Absent: credentials.enc in the data folder, and
    credentials.key beside it.
    """

    file: str | None = None
    key: SecretStr | None = None  # IV3_CREDENTIALS__KEY or IV3_CREDENTIALS__KEY_FILE


def _on(value: object) -> object:
    """YAML reads a bare `on` as true."""
    if value is False:
        raise ValueError("is off; write on or shadow. Without ntfy.topic and iv3.endpoint nobody is told")
    return "on" if value is True else value


class KafkaSettings(Setting):
    """How Kafka is used where `log` names it. Absent `copies` and `in_sync`: as many as the cluster has, at most 3, all
    but one of them in sync.
    """

    partitions: Annotated[int, Field(ge=1, le=1000)] = 12
    copies: Annotated[int, Field(ge=1, le=9)] | None = None
    in_sync: Annotated[int, Field(ge=1, le=9)] | None = None
    session_s: Annotated[float, Field(ge=3, le=300)] = 10
    tls: bool = False
    cafile: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    mechanism: str = "SCRAM-SHA-512"
    username: str = ""
    password: SecretStr = SecretStr("")


class Settings(Setting):
    """The whole configuration."""

    dexcom: DexcomSettings = DexcomSettings()
    insulin: tuple[InsulinSettings, ...] = ()
    api: ApiSettings = ApiSettings()
    s3: S3Settings = S3Settings()
    iv3: LegacyInfluxSettings = LegacyInfluxSettings()
    ntfy: NtfySettings = NtfySettings()
    person: PersonSettings = PersonSettings()
    people: Annotated[tuple[WatchedSettings, ...], Field(max_length=10_000)] = ()
    credentials: CredentialsSettings = CredentialsSettings()
    kafka: KafkaSettings = KafkaSettings()
    log: Annotated[str, Field(pattern=r"^(sqlite|kafka://.+)$")] = "sqlite"
    series: Literal["sqlite", "influxdb"] = "sqlite"
    influxdb: InfluxSettings = InfluxSettings()
    alerts: Annotated[Literal["on", "shadow"], BeforeValidator(_on)] = "on"
    healthcheck_url: SecretStr | None = None
    archive: Annotated[str, Field(pattern=r"^(none|s3|folder:.+)$")] = "none"
    archive_keep_days: Annotated[int | None, Field(ge=1, le=36_500)] = None
    archive_drill_days: Annotated[int, Field(ge=0, le=365)] = 7

    @property
    def topic(self) -> str:
        """The ntfy topic; empty means that alarms are off."""
        return self.ntfy.topic or self.iv3.endpoint


def legacy_config(settings: Settings) -> dict[str, Any]:
    """The configuration as the Go iv3's `GET /config` shows it: Go's names, secrets always empty."""
    return {
        "Dexcom": {"Account": "", "Password": ""},
        "Insulin": [
            {"Name": i.name, "Duration": _whole(i.duration), "Peak": _whole(i.peak), "PeriodType": i.period_type}
            for i in settings.insulin
        ],
        "API": {"Username": "", "Password": ""},
        "S3": {"Endpoint": "", "Bucket": "", "Key": "", "Secret": ""},
        "Iv3": {
            "Unit": settings.iv3.unit,
            "Endpoint": "",
            "MissingLongThreshold": _whole(settings.iv3.missing_long_threshold),
            "HighThreshold": _whole(settings.iv3.high_threshold),
            "LowThreshold": _whole(settings.iv3.low_threshold),
        },
    }


def _whole(value: float) -> float | int:
    return int(value) if value == int(value) else value
