"""`python -m tests.servers [NAME ...]`: install the servers, so that the first test run need not wait for their
builds.
"""

import sys
import time
from importlib import import_module

from tests.servers.ground import NotInstallable

NAMES = ("kafka", "s3", "influx")  # the quick ones first


def main(names: list[str]) -> int:
    """Exit code: 1 if one could not be installed."""
    failed = 0
    for name in names or NAMES:
        began = time.monotonic()
        try:
            print(
                f"{name}: {import_module(f'tests.servers.{name}').install()} ({time.monotonic() - began:.0f} s)",
                flush=True,
            )
        except NotInstallable as error:
            print(f"{name}: {error}", file=sys.stderr, flush=True)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
