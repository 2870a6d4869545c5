"""Upcasters: pure functions from version n of an event's JSON to version n + 1, so that every release reads all of
history.

There is no second version of anything yet. When there is, its line looks like `("iv3.reading", 1): reading_v1_to_v2`,
the function changes `type` and `data`, and a record written by the old release goes into
`tests/unit/schemas/old_events/` for ever.
"""

from collections.abc import Callable
from typing import Any

Raw = dict[str, Any]

UPCASTERS: dict[tuple[str, int], Callable[[Raw], Raw]] = {}
