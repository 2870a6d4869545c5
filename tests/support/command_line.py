"""The command line as somebody at a terminal calls it."""

import os
import subprocess
import sys
from pathlib import Path


def iv3(folder: Path, *arguments: str, given: str = "", **environment: str) -> "subprocess.CompletedProcess[str]":
    clean = {k: v for k, v in os.environ.items() if not k.startswith("IV3_")}
    command = [sys.executable, "-P", "-m", "iv3", *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env=clean | environment,
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
