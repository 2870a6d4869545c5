"""The day-to-day report of the Go program."""

from processors.legacy.day_to_day import day_to_day

SLOT, DAY = 300_000, 86_400_000


def test_an_empty_range_has_zeros() -> None:
    assert day_to_day([], 70, 180) == (0, 0, (0.0,) * 288)


def test_a_slot_is_the_mean_of_the_same_five_minutes_of_all_days() -> None:
    report = day_to_day([(0, 100), (SLOT - 1, 110), (DAY + 1, 150), (SLOT, 90), (DAY - 1, 60)], 70, 180)
    assert (report.slot_means_mgdl[0], report.slot_means_mgdl[1], report.slot_means_mgdl[287]) == (120, 90, 60)
    assert sum(map(bool, report.slot_means_mgdl)) == 3
    assert report.mean_mgdl == 102


def test_both_limits_are_in_range() -> None:
    values = [(n * SLOT, glucose) for n, glucose in enumerate((69.9, 70, 180, 180.1))]
    assert day_to_day(values, 70, 180).in_range == 0.5
