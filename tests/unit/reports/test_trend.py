"""Trends are the median of all slopes, and silent without enough weeks."""

from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.reporting.trend import Direction, trend_of

Weeks = st.lists(st.none() | st.floats(-1e6, 1e6), max_size=12)


def test_a_straight_line_has_its_slope() -> None:
    trend = trend_of([3, 5, 7, 9, 11, 13, 15, 17])
    assert (trend.direction, trend.slope, trend.weeks) == (Direction.RISING, 2, 8)


def test_one_odd_week_does_not_bend_it_where_least_squares_would_turn_round() -> None:
    values = [10.0, 12, 14, 16, 18, 20, 22, -90]
    assert np.polyfit(range(8), values, 1)[0] < 0
    trend = trend_of(values)
    assert (trend.direction, trend.slope) == (Direction.RISING, 2)


@pytest.mark.parametrize("known", [0, 1, 2, 3])
def test_fewer_than_four_weeks_are_not_enough(known: int) -> None:
    trend = trend_of([None] * (8 - known) + [1.0, 5.0, 9.0][:known])
    assert (trend.direction, trend.slope, trend.weeks) == (Direction.UNKNOWN, None, known)
    assert trend.direction.value == "not enough data"


def test_four_weeks_are_enough_and_a_gap_counts_as_time() -> None:
    assert trend_of([0, None, None, None, None, 10, 12, 14]).slope == 2


@pytest.mark.parametrize(
    ("values", "direction"),
    [
        ([100, 101, 100, 101, 100, 101, 100, 101], Direction.STEADY),
        ([100, 97, 94, 91, 88, 85, 82, 79], Direction.FALLING),
        ([0, 0, 0, 0, 0, 0, 0, 0], Direction.STEADY),
        ([0, 0, 0, 0, 0, 3, 6, 9], Direction.RISING),
    ],
)
def test_a_change_of_less_than_two_hundredths_a_week_is_steady(
    values: list[float], direction: Direction
) -> None:
    assert trend_of(values).direction is direction


@given(Weeks)
def test_the_slope_is_that_of_the_definition(values: list[float | None]) -> None:
    points = [(x, y) for x, y in enumerate(values) if y is not None]
    slopes = [(d - b) / (c - a) for a, b in points for c, d in points if a < c]
    trend = trend_of(values)
    assert trend.slope == (median(slopes) if len(points) >= 4 else None)


@given(Weeks)
def test_turned_upside_down_it_points_the_other_way(values: list[float | None]) -> None:
    mirror = {Direction.RISING: Direction.FALLING, Direction.FALLING: Direction.RISING}
    trend, turned = trend_of(values), trend_of([None if value is None else -value for value in values])
    assert turned.direction is mirror.get(trend.direction, trend.direction)
