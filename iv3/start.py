"""The command `iv3`: where a process begins. Imports nothing that is not needed, for the supervisor stays in memory beside the worker."""

import sys

from iv3.supervise import Supervisor, die_with_parent, is_child


def main() -> None:
    """Supervise `iv3 up`; run any other verb."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["up"] and not is_child() and "--help" not in arguments:
        raise SystemExit(Supervisor(arguments).run())
    if is_child():
        die_with_parent()
    from iv3.cli import run

    run()
