"""When Dexcom Share is asked, for how much, and how often a log-in is tried."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.sources.polling import LoginPolicy, next_poll_at_ms, window

MIN = 60_000
HOUR = 60 * MIN
T = 1_745_081_000_000


@pytest.mark.parametrize(("jitter", "after_s"), [(0.0, 318), (0.5, 327), (1.0, 336)])
def test_the_next_poll_is_just_after_the_next_reading_is_due(jitter: float, after_s: int) -> None:
    assert next_poll_at_ms(T, T + 20_000, 0, jitter) == T + after_s * 1000


@pytest.mark.parametrize(("misses", "wait_s"), [(1, 20), (2, 40), (3, 80), (4, 150), (5, 150), (10_000, 150)])
def test_a_reading_that_does_not_come_is_asked_for_ever_less_often(misses: int, wait_s: int) -> None:
    assert next_poll_at_ms(T, T + 400_000, misses, 0.5) == T + 400_000 + wait_s * 1000


def test_one_who_knows_nothing_asks_at_once() -> None:
    assert next_poll_at_ms(None, T, 0, 0.5) == T


def test_one_who_comes_late_asks_at_once() -> None:
    assert next_poll_at_ms(T - HOUR, T, 0, 0.5) == T


def test_a_reading_from_the_future_does_not_stop_the_polling() -> None:
    assert next_poll_at_ms(T + 24 * HOUR, T, 0, 0.0) == T + 318_000


def test_a_sensor_of_one_minute_is_asked_every_minute() -> None:
    assert next_poll_at_ms(T, T, 0, 0.0, cadence_ms=MIN) == T + 78_000


@given(st.none() | st.integers(0, 2 * T), st.integers(0, 2 * T), st.integers(0, 99), st.floats(0, 1))
def test_the_next_poll_is_never_in_the_past_and_never_far_away(
    last: int | None, now: int, misses: int, jitter: float
) -> None:
    assert now <= next_poll_at_ms(last, now, misses, jitter) <= now + 336_000


@pytest.mark.parametrize(
    ("gap_ms", "minutes"),
    [(0, 30), (1, 35), (5 * MIN, 35), (5 * MIN + 20_000, 40), (HOUR, 90), (24 * HOUR, 1440), (-HOUR, 30)],
)
def test_what_is_asked_for_overlaps_what_is_known_by_half_an_hour(gap_ms: int, minutes: int) -> None:
    assert window(T - gap_ms, T)[0] == minutes


def test_after_an_outage_or_at_the_first_start_a_whole_day_is_asked_for() -> None:
    assert window(T - 100 * HOUR, T) == window(None, T) == (1440, 288)


@given(st.integers(0, 2 * T), st.integers(0, 2 * T))
def test_a_window_is_one_that_share_grants(last: int, now: int) -> None:
    minutes, count = window(last, now)
    assert 30 <= minutes <= 1440
    assert minutes % 5 == 0
    assert minutes / 5 <= count <= 288


def test_a_rejected_log_in_is_tried_again_after_10_30_and_60_minutes_and_then_every_6_hours() -> None:
    policy, now, waits = LoginPolicy(), T, []
    for _ in range(6):
        assert policy.may_log_in(now)
        policy = policy.after_refusal("rejected", now)
        assert not policy.may_log_in(now)
        assert not policy.may_log_in(policy.no_login_before_ms - 1)
        waits.append((policy.no_login_before_ms - now) / MIN)
        now = policy.no_login_before_ms
    assert waits == [10, 30, 60, 360, 360, 360]


def test_a_locked_account_is_left_alone_for_an_hour_at_least() -> None:
    policy = LoginPolicy().after_refusal("locked_out", T)
    assert policy.no_login_before_ms == T + HOUR
    for _ in range(3):
        policy = policy.after_refusal("locked_out", T)
    assert policy.no_login_before_ms == T + 6 * HOUR


def test_a_mistake_in_the_configuration_is_not_tried_often() -> None:
    assert LoginPolicy().after_refusal("misconfigured", T).no_login_before_ms == T + 6 * HOUR


def test_a_refusal_of_an_unknown_kind_counts_as_rejected() -> None:
    assert LoginPolicy().after_refusal("new", T) == LoginPolicy().after_refusal("rejected", T)


def test_after_a_success_nothing_is_held_against_the_account() -> None:
    assert LoginPolicy(5, T).after_success() == LoginPolicy() == LoginPolicy(0, 0)


def test_a_deadline_written_by_a_wrong_clock_locks_nobody_out() -> None:
    in_2040 = 2_208_988_800_000
    assert LoginPolicy().after_refusal("locked_out", in_2040).may_log_in(T)


@given(st.lists(st.tuples(st.sampled_from(["rejected", "locked_out"]), st.integers(0, 3 * HOUR)), max_size=30))
def test_no_history_allows_more_than_five_log_ins_in_six_hours(history: list[tuple[str, int]]) -> None:
    policy, now, tried = LoginPolicy(), T, list[int]()
    for kind, idle in history:
        now += idle
        if policy.may_log_in(now):
            tried.append(now)
            policy = policy.after_refusal(kind, now)
    assert all(tried[i + 5] - tried[i] > 6 * HOUR for i in range(len(tried) - 5))
