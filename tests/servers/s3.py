"""A real S3 server: versitygw on a folder, built from the Go module proxy. Objects are plain files below it, so that a
test can flip a bit.
"""

import os
import socket
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from schemas.settings import S3Settings
from tests.servers.containers import chosen, process_of
from tests.servers.ground import NotInstallable, building, cache, free_port, needs

VERSION = "1.8.0"
_MODULE = f"github.com/versity/versitygw/cmd/versitygw@v{VERSION}"
KEY, SECRET = "iv3testaccess", "iv3testsecret-0123456789"
REGION = "us-east-1"


def install() -> Path:
    """The server's binary, built once (61 MB, two minutes of both cores)."""
    binary = cache() / f"versitygw-{VERSION}" / "versitygw"
    with building("s3"):
        if binary.exists():
            return binary
        needs("go")
        fresh = binary.parent.with_name(f"{binary.parent.name}.new")
        environment = {**os.environ, "GOBIN": str(fresh), "GOFLAGS": "-buildvcs=false -trimpath"}
        done = subprocess.run(
            ["go", "install", "-ldflags=-s -w", _MODULE],
            env=environment,
            capture_output=True,
            text=True,
            timeout=1500,
            check=False,
        )
        if done.returncode:
            raise NotInstallable(f"versitygw could not be built: {done.stderr[-1000:]}")
        fresh.rename(binary.parent)
    return binary


class S3Server:
    """A server whose objects lie in `folder`/objects; made anew on the same folder it has the same port and objects.

    `cert` and `key` (files) make it speak TLS. `domain` lets buckets be named in front of it, as the first label of the
    host.
    """

    def __init__(self, folder: Path, *, cert: Path | None = None, key: Path | None = None, domain: str = "") -> None:
        self.folder, self.objects = folder, folder / "objects"
        for name in ("objects", "versions", "iam"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        noted = folder / "port"
        if not noted.exists():
            noted.write_text(str(free_port()))
        self.port, self.scheme = int(noted.read_text()), "https" if cert else "http"
        # With a folder of accounts an unknown key is answered 403 InvalidAccessKeyId, as Amazon does.
        command = [
            "versitygw" if chosen() else str(install()),
            "--port",
            f"127.0.0.1:{self.port}",
            "--region",
            REGION,
            "--quiet",
            "--keep-alive",
            "--iam-dir",
            str(folder / "iam"),
            *(("--cert", str(cert), "--key", str(key)) if cert else ()),
            *(("--virtual-domain", domain) if domain else ()),
            "posix",
            "--versioning-dir",
            str(folder / "versions"),
            str(self.objects),
        ]
        self._process = process_of("s3", command, folder, {"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET})

    @property
    def endpoint(self) -> str:
        """What `s3.endpoint` names."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process.start(self._answers)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 0.5).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self._process.stop()

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()

    def freeze(self) -> None:
        """SIGSTOP: connections are taken and nothing is answered."""
        self._process.freeze()

    def thaw(self) -> None:
        """SIGCONT."""
        self._process.thaw()

    def client(self) -> Any:
        """A plain client of the owner's, for what a test does behind the archive's back."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name=REGION,
            config=Config(
                signature_version="s3v4", s3={"addressing_style": "path"}, read_timeout=10, connect_timeout=3
            ),
        )

    def bucket(self) -> "Bucket":
        """A fresh bucket."""
        name = f"iv3-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name)
        return Bucket(self, name)


@dataclass(frozen=True)
class Bucket:
    """One bucket of a server that runs."""

    server: S3Server
    name: str

    def settings(self, **changed: Any) -> S3Settings:
        """What the configuration would say of it."""
        said = {"endpoint": self.server.endpoint, "bucket": self.name, "key": KEY, "secret": SecretStr(SECRET)}
        return S3Settings(**{**said, **changed})

    def file(self, key: str, prefix: str = "iv3") -> Path:
        """The file that is the object of this key in the archive."""
        return self.server.objects / self.name / prefix / key
