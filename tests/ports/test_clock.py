"""Clocks that are wrong, and who notices."""

from streams.clock import ScaledClock, SystemClock

TRUE_S = 1_795_500_000
HOUR_S = 3600


class Host:
    """A host whose wall clock can be set; its running time goes on whatever anybody sets."""

    def __init__(self, ahead_s: float) -> None:
        self.ahead_s, self.ran_s = ahead_s, 0.0

    def clock(self) -> SystemClock:
        return SystemClock(
            lambda: round((TRUE_S + self.ran_s + self.ahead_s) * 1e9), lambda: round((77 + self.ran_s) * 1e9)
        )

    @property
    def true_ms(self) -> int:
        return round((TRUE_S + self.ran_s) * 1000)


def test_a_clock_that_is_three_hours_fast_is_put_right_by_what_the_source_says() -> None:
    host = Host(3 * HOUR_S)
    clock = host.clock()
    assert clock.now_ms() == host.true_ms + 3 * HOUR_S * 1000
    assert clock.correct_from(host.true_ms) == 3 * HOUR_S
    host.ran_s += 250
    assert clock.now_ms() == host.true_ms


def test_setting_the_host_right_meanwhile_changes_nothing_and_is_noticed_at_the_next_answer() -> None:
    host = Host(-3 * HOUR_S)
    clock = host.clock()
    assert clock.correct_from(host.true_ms) == -3 * HOUR_S
    host.ran_s, host.ahead_s = 100, 0
    assert clock.now_ms() == host.true_ms
    assert clock.correct_from(host.true_ms) is None
    host.ran_s += 50
    assert clock.now_ms() == host.true_ms


def test_a_few_seconds_are_no_news() -> None:
    host = Host(59)
    clock = host.clock()
    assert clock.correct_from(host.true_ms) is None
    assert clock.now_ms() == host.true_ms + 59_000


def test_made_up_time_is_never_put_right() -> None:
    clock = ScaledClock(TRUE_S * 1000, 1.0)
    assert clock.correct_from(TRUE_S * 1000 + 7_200_000) is not None
    assert abs(clock.now_ms() - TRUE_S * 1000) < 5_000
