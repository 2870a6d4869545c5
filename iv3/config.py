"""Loading: environment `IV3_*` over secrets in files (`IV3_*_FILE`) over `.env` over `config.yaml`; every mistake is a
sentence that names the key.

Not pydantic-settings: see docs/decisions/0002-own-settings-loader.md.
"""

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values
from pydantic import BaseModel, ValidationError

from schemas.household import household
from schemas.settings import S3Settings, Settings
from streams.errors import Misconfigured, NotFound

PREFIX = "IV3_"
# No settings: what the supervisor tells the worker, what tests are told, and a variable of the seed's own `.env`.
_NOT_SETTINGS = ("IV3_CHILD", "IV3_PARENT_PIPE", "IV3_TEST_", "IV3_ENV")
# Two variables that the seed had, and others' programs have: the same as IV3_INFLUXDB__URL and IV3_INFLUXDB__TOKEN,
# which win over them.
_SEED_VARIABLES = {"INFLUXDB_URL": ["influxdb", "url"], "INFLUXDB_TOKEN": ["influxdb", "token"]}
_MOST_BYTES = 1 << 20


def load(config: Path | None, *, folder: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings. `config` must exist if it is given; otherwise `config.yaml` in `folder` is read if it is there.
    Raises Misconfigured.
    """
    folder = folder or Path.cwd()
    environment = os.environ if environment is None else environment
    path = config or folder / "config.yaml"
    raw = _read_yaml(path, must_exist=config is not None)
    dotenv = {k: v for k, v in dotenv_values(folder / ".env").items() if v is not None}
    for source, strict in ((dotenv, False), (environment, True)):
        for place, value in _variables(source):
            _put(raw, place, value, strict=strict)
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        raise Misconfigured(_sentences(error, path)) from None


class _Strict(yaml.SafeLoader):
    """Refuses what stands twice in one group: YAML's rule would silently drop the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - as it is called
        """A group of keys, each once."""
        lines: dict[str, int] = {}
        for key, _ in node.value:
            here = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and key.value in lines:
                problem = f"{key.value} stands twice, in lines {lines[key.value]} and {here}; put both together"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            if isinstance(key, yaml.ScalarNode):
                lines[key.value] = here
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path, *, must_exist: bool) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise Misconfigured(f"{path} is larger than 1 MiB; that is no configuration.")
        raw = yaml.load(path.read_text(encoding="utf-8"), _Strict)  # noqa: S506 - it is the safe one, made stricter
    except FileNotFoundError:
        if must_exist:
            raise NotFound(
                f"There is no file {path}. Make one with `iv3 init`, or name another with --config."
            ) from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise Misconfigured(f"{path} cannot be read: {reason}.") from None
    except yaml.YAMLError as error:
        mark, why = getattr(error, "problem_mark", None), getattr(error, "problem", "it cannot be parsed")
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise Misconfigured(f"{path} is no valid YAML{where}: {why}.") from None
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise Misconfigured(f"{path} must hold keys and values, such as `dexcom:`.")
    return {key: value for key, value in raw.items() if value is not None}


def _names_file(name: str) -> bool:
    """Whether a variable names a file that holds the value. `IV3_CREDENTIALS__FILE` is a setting called file."""
    return name.endswith("_FILE") and not name.endswith("__FILE")


def _variables(source: Mapping[str, str]) -> Iterator[tuple[list[str], str]]:
    """(place, value) of our variables; a variable that ends in _FILE names a file that holds the value."""
    for name, setting in _SEED_VARIABLES.items():
        if source.get(name):
            yield setting, source[name]
    plain = {name for name in source if name.startswith(PREFIX) and not name.startswith(_NOT_SETTINGS)}
    for name in sorted(plain, key=lambda n: (not _names_file(n), n)):  # a plain variable wins over its file
        value = source[name]
        place = name.removeprefix(PREFIX).lower()
        if _names_file(name):
            place = place.removesuffix("_file")
            try:
                value = Path(value).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise Misconfigured(f"{name} names {value}, which cannot be read: {error.strerror}.") from None
        yield place.split("__"), value


def _put(raw: dict[str, Any], place: list[str], value: str, *, strict: bool) -> None:
    name = PREFIX + "__".join(place).upper()
    model: Any = Settings
    for key in place:
        known = model.model_fields if isinstance(model, type) and issubclass(model, BaseModel) else {}
        if key not in known:
            hint = _nearest(key, known)
            raise Misconfigured(f"The environment sets {name}, but there is no setting {'.'.join(place)}.{hint}")
        model = known[key].annotation
    target = raw
    for key in place[:-1]:
        target = target.setdefault(key, {})
        if not isinstance(target, dict):
            raise Misconfigured(f"{name} cannot be set: {key} in config.yaml is no group of settings.")
    target[place[-1]] = yaml.safe_load(value) if strict and place[0] in ("insulin", "people") else value


def _nearest(key: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f" Did you mean {near[0]}?" if near else ""


def _sentences(error: ValidationError, path: Path) -> str:
    lines = []
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        place = ".".join(map(str, item["loc"]))
        if item["type"] == "extra_forbidden":
            known = _fields_at(item["loc"][:-1])
            lines.append(f"{path}: there is no setting {place}.{_nearest(str(item['loc'][-1]), known)}")
            continue
        pydantics = str(item["msg"]).removeprefix("Value error, ").replace("Input should", "it should")
        message = _SAID_OF.get(place) or _SAID.get(item["type"], pydantics)
        lines.append(f"{path}: {message}" if message.startswith(place) else f"{path}: {place}: {message}")
    return "\n".join(lines)


_SAID_OF = {
    "log": "must be sqlite, or kafka://HOST:PORT with commas between several",
    "archive": "must be none, s3, or folder:PATH with the folder of the archive",
}
_SAID = {  # pydantic's own words are for programmers
    "string_type": "must be text; put it in quotes",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "tuple_type": "must be a list, each item with a dash before it",
    "model_type": "must hold keys and values below it",
    "model_attributes_type": "must hold keys and values below it",
    "missing": "is missing",
}


def _fields_at(place: tuple[int | str, ...]) -> Mapping[str, object]:
    model: Any = Settings
    for key in place:
        if isinstance(key, int):
            continue
        annotation = model.model_fields[key].annotation
        model = annotation if isinstance(annotation, type) else annotation.__args__[0]
    return dict(model.model_fields)


def refuse_unusable(settings: Settings) -> None:
    """What fits each key by itself but cannot work together. Raises Misconfigured."""
    dexcom = settings.dexcom
    if dexcom.account and not dexcom.password.get_secret_value():
        raise Misconfigured(
            "dexcom.password is missing: set it in config.yaml, in IV3_DEXCOM__PASSWORD, or name a file "
            "in IV3_DEXCOM__PASSWORD_FILE."
        )
    if dexcom.password.get_secret_value() and not dexcom.account:
        raise Misconfigured(
            "dexcom.account is missing: give the user name, e-mail address or +phone of the account that shares."
        )
    _refuse_unusable_people(settings)
    if bool(settings.api.username) != bool(settings.api.password.get_secret_value()):
        raise Misconfigured("api.username and api.password belong together: set both, or neither.")
    if settings.archive == "s3":
        refuse_half_a_bucket(settings.s3)
    if settings.series == "influxdb" and not settings.influxdb.token.get_secret_value():
        raise Misconfigured(
            "influxdb.token is missing, which series: influxdb needs: set it in config.yaml, in INFLUXDB_TOKEN, or "
            "name a file in IV3_INFLUXDB__TOKEN_FILE."
        )
    if bool(settings.api.certfile) != bool(settings.api.keyfile):
        raise Misconfigured("api.certfile and api.keyfile belong together: set both, or neither.")


def _refuse_unusable_people(settings: Settings) -> None:
    try:
        household(settings)
    except ValueError as error:
        raise Misconfigured(f"{error}.") from None
    for number, person in enumerate(settings.people):
        if bool(person.dexcom.account) != bool(person.dexcom.password.get_secret_value()):
            raise Misconfigured(
                f"people.{number}.dexcom ({person.id}): account and password belong together. Set both, or neither and "
                f"`iv3 person add {person.id} --dexcom-account NAME`, which keeps them encrypted."
            )
        if (person.ntfy.token or person.ntfy.server) and not person.ntfy.topic:
            raise Misconfigured(
                f"people.{number}.ntfy ({person.id}): there is no topic; without one the house's phone is told."
            )


def refuse_half_a_bucket(s3: S3Settings) -> None:
    """Raise Misconfigured where the bucket of the archive cannot be found or opened with what the configuration
    says.
    """
    said = {"s3.bucket": s3.bucket, "s3.key": s3.key, "s3.secret": s3.secret.get_secret_value()}
    missing = [name for name, value in said.items() if not value]
    if missing:
        raise Misconfigured(
            f"The archive is s3, but {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing: "
            "set s3.endpoint, s3.bucket, s3.key and s3.secret in config.yaml (the secret may stand in IV3_S3__SECRET, "
            "or in a file that IV3_S3__SECRET_FILE names)."
        )
