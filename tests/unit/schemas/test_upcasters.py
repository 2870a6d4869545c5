"""Upcasters: from version n to version n + 1, without a hole."""

from schemas.envelope import NEWEST
from schemas.upcasters import UPCASTERS


def test_every_upcaster_leads_to_a_version_that_is_there_or_to_another_upcaster() -> None:
    for stem, version in UPCASTERS:
        assert (stem, version + 1) in UPCASTERS or NEWEST[stem] == version + 1
