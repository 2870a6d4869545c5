"""The command `iv3`: where a process begins. Imports nothing that is not needed, for the supervisor stays in memory
beside the worker.
"""

import sys
import traceback

from iv3.supervise import UNEXPECTED, Supervisor, die_with_parent, is_child

_SUPERVISED = (["up"], ["worker"], ["poller"], ["api"])


def main() -> None:
    """Supervise what stays; run any other verb."""
    arguments = sys.argv[1:]
    if arguments[:1] in _SUPERVISED and not is_child() and "--help" not in arguments:
        raise SystemExit(Supervisor(arguments).run())
    if is_child():
        die_with_parent()
    try:
        from iv3.cli.main import run

        run()
    except Exception:
        if not is_child():
            raise
        # Python's own exit code for this is 1, which the supervisor takes for a sentence of ours that starting again
        # would only repeat.
        traceback.print_exc()
        raise SystemExit(UNEXPECTED) from None
