"""Periods, calendars and sketches."""

import random
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.analytics_calendar import Calendar, Grain, Span, days_of
from tasks.analytics_sketch import RELATIVE_ERROR, Union, add

DAYS = st.dates(date(1995, 1, 1), date(2035, 12, 31))
ZONES = st.sampled_from(["UTC", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Los_Angeles"])


@given(st.sampled_from(list(Grain)), DAYS, st.integers(-40, 40))
def test_periods_follow_each_other(grain: Grain, day: date, count: int) -> None:
    period = grain.period_of(day)
    assert grain.period_of(period) == period <= day < grain.shifted(period, 1)
    assert grain.shifted(grain.shifted(period, count), -count) == period


def test_weeks_begin_on_monday_and_months_on_their_first_day() -> None:
    sunday = date(2026, 3, 1)
    assert Grain.WEEK.period_of(sunday) == date(2026, 2, 23)
    assert Grain.MONTH.shifted(date(2026, 1, 1), -1) == date(2025, 12, 1)
    assert Grain.MONTH.shifted(date(2026, 12, 1), 1) == date(2027, 1, 1)


@given(ZONES, DAYS, st.integers(0, 40))
def test_a_calendar_has_every_day_once_and_no_gap(zone: str, first: date, days: int) -> None:
    span = Span(first, first + timedelta(days=days), zone)
    calendar = span.calendar()
    assert len(calendar.days) == days + 1
    assert list(calendar.ends[:-1]) == list(calendar.begins[1:])
    assert (calendar.begins[0], calendar.ends[-1]) == span.moments()


@given(ZONES, st.datetimes(datetime(1995, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - Hypothesis adds the zone
def test_a_moment_lies_within_its_day(zone: str, moment: datetime) -> None:
    calendar = Calendar.of(days_of([moment], zone), zone)
    assert calendar.begins[0] <= moment < calendar.ends[0]


def test_a_sketch_does_not_count_a_visitor_of_two_days_twice() -> None:
    union = Union()
    union.sketch(add(None, [1, 2, 3]))
    union.sketch(add(add(None, [3]), [4]))
    union.visitors([4, 5, -6])
    assert union.count() == 6


@pytest.mark.parametrize("visitors", [1_000, 50_000])
def test_a_union_of_sketches_is_within_three_errors(visitors: int) -> None:
    chance, union = random.Random(visitors), Union()
    everybody = [chance.getrandbits(63) for _ in range(visitors)]
    for day in range(31):
        union.sketch(add(None, everybody[day::31] + everybody[:: day + 1]))
    assert union.count() == pytest.approx(visitors, rel=3 * RELATIVE_ERROR)


def test_a_sketch_of_any_number_of_visitors_is_small() -> None:
    assert len(add(None, range(200_000))) < 2_200
