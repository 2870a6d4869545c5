"""Names: the same thing said twice has the same one."""

import pytest

from schemas.facts import CarbsEaten
from schemas.identity import entry_id, reading_id
from tests.support.night import T0


def test_names_tell_apart_what_differs_and_join_what_is_the_same() -> None:
    assert reading_id("s", "a", T0, 100, "Flat") == reading_id("s", "a", T0 + 400, 100.0, "Flat")
    assert len({reading_id("s", "a", T0, v, t) for v in (100, 101) for t in ("Flat", None)}) == 4
    assert entry_id("ab", "c", "k", "d") != entry_id("a", "bc", "k", "d")
    with pytest.raises(ValueError, match="decimals"):
        CarbsEaten(grams=1.234)
