"""Periods are whole weeks and months where the organization is."""

from datetime import UTC, date, datetime, timedelta

import pytest

from models.report import ReportGrain
from tasks.reporting.period import last_ended, period_of

WEEK, MONTH = ReportGrain.WEEK, ReportGrain.MONTH


def test_a_week_runs_from_monday_to_sunday() -> None:
    period = period_of(WEEK, date(2026, 10, 1), "UTC")
    assert (period.current.first, period.current.last) == (date(2026, 9, 28), date(2026, 10, 4))
    assert period.previous.last == date(2026, 9, 27)
    assert [week.first for week in period.weeks] == [date(2026, 8, 10) + timedelta(weeks=n) for n in range(8)]
    assert period.weeks[-1] == period.current


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2026, 3, 29), 167), (date(2026, 10, 25), 169), (date(2026, 10, 18), 168)]
)
def test_a_week_in_which_the_clock_is_changed_is_longer_or_shorter(day: date, hours: int) -> None:
    week = period_of(WEEK, day, "Europe/Berlin").current
    assert week.ends - week.begins == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("zone", "begins"),
    [
        ("Asia/Kathmandu", datetime(2026, 9, 27, 18, 15, tzinfo=UTC)),
        ("America/Los_Angeles", datetime(2026, 9, 28, 7, 0, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 9, 27, 13, 30, tzinfo=UTC)),
    ],
)
def test_a_week_begins_at_midnight_where_the_organization_is(zone: str, begins: datetime) -> None:
    assert period_of(WEEK, date(2026, 9, 30), zone).current.begins == begins


def test_a_month_is_compared_with_the_month_before_and_has_the_weeks_that_ended_in_it() -> None:
    period = period_of(MONTH, date(2026, 3, 17), "UTC")
    assert (period.current.first, period.current.last) == (date(2026, 3, 1), date(2026, 3, 31))
    assert (period.previous.first, period.previous.last) == (date(2026, 2, 1), date(2026, 2, 28))
    assert period.weeks[-1].last == date(2026, 3, 29)
    assert len(period.weeks) == 8


def test_a_month_that_ends_on_a_sunday_has_its_last_week() -> None:
    assert period_of(MONTH, date(2026, 5, 1), "UTC").weeks[-1].last == date(2026, 5, 31)


@pytest.mark.parametrize(
    ("now", "zone", "first"),
    [
        (datetime(2026, 10, 4, 21, 59, tzinfo=UTC), "Europe/Berlin", date(2026, 9, 21)),
        (datetime(2026, 10, 4, 22, 0, tzinfo=UTC), "Europe/Berlin", date(2026, 9, 28)),
        (datetime(2026, 10, 5, 6, 0, tzinfo=UTC), "America/Los_Angeles", date(2026, 9, 21)),
    ],
)
def test_the_last_week_that_ended_is_told_by_the_organizations_clock(
    now: datetime, zone: str, first: date
) -> None:
    assert last_ended(WEEK, now, zone) == first


def test_the_last_month_that_ended_crosses_the_year() -> None:
    assert last_ended(MONTH, datetime(2027, 1, 3, tzinfo=UTC), "UTC") == date(2026, 12, 1)
