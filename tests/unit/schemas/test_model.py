"""Moments, and what numbers may be."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from schemas.model import Moment, at_ms, ms


@given(
    st.datetimes(
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-9))])
    )
)
def test_a_moment_has_the_same_milliseconds_however_it_was_read(moment: datetime) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    read = TypeAdapter(Moment).validate_json(f'"{moment.astimezone(UTC).isoformat()}"'.replace("+00:00", "Z"))
    assert ms(read) == ms(moment) == ms(moment.astimezone(UTC)) == round(moment.timestamp() * 1000)
    assert at_ms(ms(read)) == moment
