"""A real InfluxDB 2.7 (write API, InfluxQL, Flux; no pages), built from the Go module proxy and crates.io.

Needs Go, Cargo, a C compiler and pkg-config, once; the build takes about six minutes on two cores and 3 GB of disk,
most of which it gives back.
"""

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.servers.containers import chosen, process_of
from tests.servers.ground import NotInstallable, building, cache, free_port, needs

VERSION = "2.7.12"
_MODULE = f"github.com/influxdata/influxdb/v2@v{VERSION}"
_SUM = "h1:m25dUSO7h6nm3zFC4v/aCNeFFmnN/mlN/uPo1T63bmk="  # of the module; its own go.sum and Cargo.lock pin the rest
_FLUX = "github.com/influxdata/flux"
_TAGS = "sqlite_foreign_keys,sqlite_json"
# InfluxData builds the Rust library through a wrapper around pkg-config; a file that says the same will do.
_FLUX_PC = """Name: Flux
Version: 0.196.1
Description: the Flux engine
Cflags: -I{flux}/libflux/include
Libs: -L{flux}/libflux/target/release -l:libflux.a -ldl -lpthread -lm -lrt -lgcc_s -lutil
"""
TOKEN, ORG = "a-token-of-tests-and-nothing-else", "iv3"


def install() -> Path:
    """The server's binary, built once."""
    binary = cache() / f"influxdb-{VERSION}" / "influxd"
    with building("influx"):
        if binary.exists():
            return binary
        needs("go", "cargo", "gcc", "pkg-config")
        place = cache() / f"influxdb-{VERSION}.build"
        _forget(place)
        place.mkdir(parents=True)
        try:
            built = _Build(place).run()
            binary.parent.mkdir(parents=True, exist_ok=True)
            built.replace(binary)
        finally:
            _forget(place)
    return binary


def _forget(folder: Path) -> None:
    """Go's module cache is read-only; make it writable, then delete."""
    for parent, _, _ in os.walk(folder):
        Path(parent).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


class _Build:
    """One build, in a folder of its own that holds every cache it needs."""

    def __init__(self, place: Path) -> None:
        self.place = place
        (place / "pkgconfig").mkdir()
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("GO", "CARGO", "RUST")) or k in _KEPT},
            "GOMODCACHE": str(place / "modules"),
            "GOCACHE": str(place / "objects"),
            "GOTOOLCHAIN": "local",
            "GOFLAGS": "-buildvcs=false",
            "GOWORK": "off",
            "CGO_ENABLED": "1",
            "PKG_CONFIG_PATH": str(place / "pkgconfig"),
            "CARGO_HOME": str(place / "cargo"),
            "CARGO_PROFILE_RELEASE_LTO": "off",
            "CARGO_INCREMENTAL": "0",
            "RUSTFLAGS": "--cap-lints=allow",
        }

    def run(self) -> Path:
        """Build, and say where the binary lies."""
        server, flux = self._sources()
        library = self._rust(flux)  # beside it, what of Go does not need it
        early = self._early_packages(server)
        self._say(["xargs", *_NICE, "go", "build", "-mod=readonly", "-tags", _TAGS], server, said=early, must=False)
        said, _ = library.communicate(timeout=3600)
        if library.returncode:
            raise NotInstallable(f"the Flux library could not be built: {said[-2000:]}")
        (self.place / "pkgconfig" / "flux.pc").write_text(_FLUX_PC.format(flux=flux))
        binary = self.place / "influxd"
        flags = f"-s -w -X main.version=v{VERSION} -X main.commit=module"
        command = [*_NICE, "go", "build", "-mod=readonly", "-tags", _TAGS, "-ldflags", flags, "-o", str(binary)]
        self._say([*command, "./cmd/influxd"], server)
        self._say([str(binary), "version"], self.place)
        return binary

    def _sources(self) -> tuple[Path, Path]:
        """Writable copies of the server and of the Flux module that it pins."""
        probe = self.place / "probe"
        probe.mkdir()
        (probe / "go.mod").write_text("module probe\n\ngo 1.23\n")
        told = json.loads(self._say(["go", "mod", "download", "-json", _MODULE], probe))
        if told.get("Sum") != _SUM:
            raise NotInstallable(f"the module {_MODULE} has the sum {told.get('Sum')}, not {_SUM}")
        server = self._copy(Path(told["Dir"]), "influxdb")
        self._say(["go", "mod", "download", _FLUX], server)
        where = self._say(["go", "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", _FLUX], server)
        flux = self._copy(Path(where.strip()), "flux")
        (flux / "rust-toolchain.toml").unlink(missing_ok=True)  # any newer Rust will do
        return server, flux

    def _copy(self, source: Path, name: str) -> Path:
        target = self.place / name
        shutil.copytree(source, target)
        for parent, _, files in os.walk(target):
            Path(parent).chmod(0o755)
            for file in files:
                path = Path(parent) / file
                path.chmod(path.stat().st_mode | 0o200)
        return target

    def _rust(self, flux: Path) -> "subprocess.Popen[str]":
        """Begin to build the Rust library, without the feature that turns a newer compiler's warnings into errors."""
        home = Path.home() / ".cargo" / "config.toml"  # a registry's mirror, where there is one
        if home.exists():
            (self.place / "cargo").mkdir()
            shutil.copy(home, self.place / "cargo")
        command = [*_NICE, "cargo", "build", "--locked", "--release", "-p", "flux", "--lib"]
        return subprocess.Popen(
            [*command, "--no-default-features", "--features", "cffi"],
            cwd=flux / "libflux",
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _early_packages(self, server: Path) -> str:
        shape = '{{if not .Standard}}{{.ImportPath}} {{join .Deps " "}}{{end}}'
        listed = self._say(
            ["go", "list", "-mod=readonly", "-tags", _TAGS, "-deps", "-f", shape, "./cmd/influxd"], server
        )
        lines = [line.split() for line in listed.splitlines() if f"{_FLUX}/libflux/" not in line]
        return "\n".join(words[0] for words in lines if words)

    def _say(self, command: list[str], folder: Path, *, said: str | None = None, must: bool = True) -> str:
        done = subprocess.run(
            command,
            cwd=folder,
            env=self.environment,
            input=said,
            capture_output=True,
            text=True,
            timeout=3600,
            check=False,
        )
        if must and done.returncode:
            raise NotInstallable(f"InfluxDB could not be built: {' '.join(command[:6])}: {done.stderr[-2000:]}")
        return done.stdout


_NICE = ("nice", "-n", "10")
_KEPT = ("GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GONOPROXY", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN")


class Influx:
    """A server whose data lies in `folder`; made anew on the same folder it has the same port and content."""

    token, org = TOKEN, ORG

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        notes = folder / "port"
        if not notes.exists():
            notes.write_text(str(free_port()))
        self.port = int(notes.read_text())
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = process_of(
            "influx",
            [
                "influxd" if chosen() else str(install()),
                "--reporting-disabled",
                "--ui-disabled",
                "--no-tasks",
                "--http-bind-address",
                f"127.0.0.1:{self.port}",
                "--bolt-path",
                str(folder / "influxd.bolt"),
                "--sqlite-path",
                str(folder / "influxd.sqlite"),
                "--engine-path",
                str(folder / "engine"),
            ],
            folder,
        )

    def start(self) -> None:
        """Start it, wait until it answers, and set it up if it is new."""
        self.process.start(self._answers)
        if self.ask("GET", "/api/v2/setup")["allowed"]:
            person = {"username": "iv3", "password": "a-password-of-tests", "org": ORG, "bucket": "first"}
            self.ask("POST", "/api/v2/setup", {**person, "token": TOKEN})

    def _answers(self) -> bool:
        try:
            return bool(self.ask("GET", "/health")["status"] == "pass")
        except (OSError, ValueError):
            return False

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self.process.stop()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()

    def freeze(self) -> None:
        """SIGSTOP."""
        self.process.freeze()

    def thaw(self) -> None:
        """SIGCONT."""
        self.process.thaw()

    def ask(self, method: str, path: str, body: Mapping[str, Any] | bytes | None = None) -> Any:
        """One request as the operator, by the standard library: a server must not be judged by the client under
        test.
        """
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Authorization": f"Token {TOKEN}"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                text = reply.read()
        except urllib.error.HTTPError as error:
            with error:
                raise ValueError(f"{method} {path}: {error.code} {error.read().decode()}") from None
        return json.loads(text) if text.strip() else None

    def query(self, database: str, statement: str) -> list[Any]:
        """The series of an InfluxQL statement, as Grafana would ask."""
        form = urllib.parse.urlencode({"db": database, "q": statement, "epoch": "ns"})
        result = self.ask("GET", f"/query?{form}")["results"][0]
        if "error" in result:
            raise ValueError(result["error"])
        return list(result.get("series", ()))

    @property
    def org_id(self) -> str:
        """The organisation's id."""
        return str(self.ask("GET", f"/api/v2/orgs?org={ORG}")["orgs"][0]["id"])

    def buckets(self) -> dict[str, dict[str, Any]]:
        """Buckets by name, the server's own left out."""
        found = self.ask("GET", "/api/v2/buckets?limit=100")["buckets"]
        return {bucket["name"]: bucket for bucket in found if bucket["type"] == "user"}

    def delete_bucket(self, name: str) -> None:
        """As an operator who cleans up does."""
        self.ask("DELETE", f"/api/v2/buckets/{self.buckets()[name]['id']}")

    def clear(self) -> None:
        """Delete every bucket and database name of iv3, and every token but the first."""
        for mapping in self.ask("GET", f"/api/v2/dbrps?orgID={self.org_id}")["content"]:
            if not mapping.get("virtual"):
                self.ask("DELETE", f"/api/v2/dbrps/{mapping['id']}?orgID={self.org_id}")
        for name in self.buckets():
            if name != "first":
                self.delete_bucket(name)
        for right in self.ask("GET", "/api/v2/authorizations")["authorizations"]:
            if right["token"] != TOKEN:
                self.ask("DELETE", f"/api/v2/authorizations/{right['id']}")
