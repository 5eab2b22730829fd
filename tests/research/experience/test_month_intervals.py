import numpy as np
import pytest

from jdcv_core.months import as_text, month_from, month_of, year_and_month
from research.experience.month_intervals import Interval, fault, total_months, union


def histories(count):
    """Random careers: overlaps, gaps, reversed and empty ranges."""
    rng = np.random.default_rng(0)
    for length in rng.integers(0, 9, count):
        starts = rng.integers(0, 120, length)
        ends = starts + rng.integers(-5, 60, length)
        yield [Interval(s, e) for s, e in zip(starts.tolist(), ends.tolist(), strict=True)]


def covered(intervals):
    """An independent count: a bit for each month."""
    bits = 0
    for i in intervals:
        bits |= ((1 << max(0, i.end - i.start)) - 1) << i.start
    return bits.bit_count()


@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_the_union_is_the_months_that_are_covered(count):
    for history in histories(count):
        assert total_months(history) == covered(history)
        assert total_months(history) <= sum(i.months for i in history)


def test_adding_an_experience_never_lowers_the_union_and_a_shift_changes_nothing():
    for history in histories(1_000):
        whole = total_months(history)
        assert all(total_months(history[:n]) <= whole for n in range(len(history)))
        moved = [Interval(i.start + 77, i.end + 77) for i in history]
        assert total_months(moved) == whole
        parts = union(history)
        assert all(a.end < b.start for a, b in zip(parts, parts[1:], strict=False))


def test_a_month_goes_there_and_back():
    for month in range(month_of(1900, 1), month_of(2101, 1)):
        year, number = year_and_month(month)
        assert 1 <= number <= 12
        assert month_of(year, number) == month == month_from(as_text(month))


@pytest.mark.parametrize("text", ["2024", "2024-13", "2024-00", "June 2024", "", "2024-6-1"])
def test_what_is_no_month_is_refused(text):
    with pytest.raises(ValueError, match="no month"):
        month_from(text)


def test_what_cannot_be_is_named():
    now = month_of(2024, 6)
    assert fault(month_of(2020, 1), month_of(2019, 1), now).startswith("reversed")
    assert fault(month_of(1850, 1), month_of(2019, 1), now).startswith("impossible")
    assert fault(month_of(2025, 1), month_of(2026, 1), now).startswith("future")
    assert fault(month_of(2020, 1), now + 60, now) == ""
    assert "typing error" in fault(month_of(2020, 1), now + 61, now)
    assert fault(month_of(2020, 1), month_of(2020, 1), now) == ""
