"""The same servers in containers, for machines with an engine and without toolchains: `--servers=docker`, by
testcontainers.

A container gets the command, the folder (at the same path), the user and the network of the process that it stands for,
so that every test meets the same addresses and files; killing and freezing are the engine's. Needs an engine whose
containers may use the host's network: Docker or Podman on Linux.
"""

import os
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.servers.ground import NotInstallable, Process

CHOSEN = "IV3_TEST_CONTAINERS"  # set by `--servers=docker`, also for the processes of pytest-xdist
IMAGES = {"kafka": "apache/kafka:4.1.0", "influx": "influxdb:2.7.12", "s3": "versity/versitygw:v1.0.18"}


def chosen() -> bool:
    """Whether servers run in containers."""
    return os.environ.get(CHOSEN) == "1"


def engine_trouble() -> str:
    """Why no container can be started here, or an empty string."""
    try:
        import docker

        docker.from_env(timeout=5).ping()
    except ImportError:
        return "testcontainers is not installed: pip install -c constraints.txt -e '.[test,containers]'"
    except Exception as error:  # noqa: BLE001 - whatever the engine's client raises means the same here
        return f"no container engine answers ({type(error).__name__}): start Docker or Podman, or use --servers=local"
    return ""


class Container(Process):
    """A `Process` whose process is a container's."""

    def __init__(
        self, image: str, command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(command, folder, environment)
        self._image = image
        self._container: Any = None

    @property
    def pid(self) -> int | None:
        """The container's first process, while it runs."""
        if self._container is None:
            return None
        self._container.reload()
        state = self._container.attrs["State"]
        return int(state["Pid"]) if state["Running"] else None

    def start(self, answers: Callable[[], bool], within_s: float = 60.0) -> None:
        """Start it and wait until it answers."""
        if self.pid is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self._container = _started(
            self._image, self.command, self.folder, {"HOME": str(self.folder), **self.environment}
        )
        self.wait(answers, within_s)

    def wait(self, answers: Callable[[], bool], within_s: float = 60.0) -> None:
        """Wait until it answers; say what it said if it never does."""
        deadline = time.monotonic() + within_s
        while not answers():
            if self.pid is None:
                raise RuntimeError(f"{self._image} ended: {self.said()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self._image} did not answer within {within_s:.0f} s: {self.said()}")
            time.sleep(0.05)

    def said(self) -> str:
        """The end of its log."""
        return "" if self._container is None else self._container.logs(tail=50).decode(errors="replace")[-2000:]

    def stop(self, within_s: float = 30.0) -> None:
        """SIGTERM, and wait; SIGKILL if it does not go."""
        if self._container is not None:
            self.thaw()
            self._container.stop(timeout=round(within_s))
            self._gone()

    def kill(self) -> None:
        """SIGKILL, and wait."""
        if self._container is not None:
            self.thaw()
            if self.pid is not None:
                self._container.kill("SIGKILL")
                self._container.wait(timeout=10)
            self._gone()

    def _gone(self) -> None:
        self._container.remove(force=True)
        self._container = None

    def freeze(self) -> None:
        """The engine's pause: connections stay open and nothing is answered."""
        if self.pid is not None:
            self._container.pause()

    def thaw(self) -> None:
        """And on again."""
        if self._container is not None:
            self._container.reload()
            if self._container.attrs["State"]["Paused"]:
                self._container.unpause()


def _started(image: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Any:
    from testcontainers.core.container import DockerContainer

    container = DockerContainer(image).with_command(shlex.join(command[1:]))
    container.with_kwargs(
        entrypoint=[command[0]], network_mode="host", user=f"{os.getuid()}:{os.getgid()}", working_dir=str(folder)
    )
    container.with_volume_mapping(str(folder), str(folder), "rw")
    for name, value in environment.items():
        container.with_env(name, value)
    try:
        container.start()
    except Exception as error:
        raise NotInstallable(f"{image} could not be started: {error}") from error
    return container.get_wrapped_container()


def run_once(server: str, command: Sequence[str], folder: Path) -> tuple[int, str]:
    """Run a command of a server's image to its end: exit code and what it said."""
    container = _started(IMAGES[server], command, folder, {"HOME": str(folder)})
    code = int(container.wait(timeout=120)["StatusCode"])
    said: str = container.logs().decode(errors="replace")
    container.remove(force=True)
    return code, said


def process_of(
    server: str, command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> Process:
    """The process of a server, or the container that stands for it."""
    return (
        Container(IMAGES[server], command, folder, environment) if chosen() else Process(command, folder, environment)
    )
