"""Billing periods: anchored on a day of the month, in the organization's zone, whatever its clock does."""

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from freezegun import freeze_time
from hypothesis import given
from hypothesis import strategies as st

from models.organization import Tenant
from models.quota import Quota
from models.usage import Period, billing_period

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",  # its day began at one o'clock when the clocks changed, until 2018
    "America/Havana",  # midnight comes twice when its clocks go back
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Kiritimati",
)
INSTANT = timedelta(microseconds=1)


def starts(anchor: date, zone: str, year: int) -> list[date]:
    """Return the local days on which the periods of *year* begin."""
    days = []
    at = datetime(year, 1, 1, 12, tzinfo=ZoneInfo(zone))
    while at.year == year:
        period = billing_period(anchor, time_zone=zone, at=at)
        days.append(period.start.astimezone(ZoneInfo(zone)).date())
        at = period.end.astimezone(ZoneInfo(zone)) + timedelta(hours=12)
    return days


def test_the_thirty_first_is_the_last_day_of_a_shorter_month_and_comes_back() -> None:
    expected = [(2025, 12, 31), (2026, 1, 31), (2026, 2, 28), (2026, 3, 31), (2026, 4, 30), (2026, 5, 31)]
    assert starts(date(2020, 1, 31), "UTC", 2026)[:6] == [date(*day) for day in expected]


@pytest.mark.parametrize(("day", "february"), [(29, 29), (30, 29), (31, 29), (28, 28)])
def test_a_leap_years_february_has_one_day_more(day: int, february: int) -> None:
    assert date(2028, 2, february) in starts(date(2024, 1, day), "Europe/Berlin", 2028)
    assert date(2027, 2, 28) in starts(date(2024, 1, day), "Europe/Berlin", 2027)


def test_who_began_on_the_twenty_ninth_of_february_goes_on_on_twenty_ninths() -> None:
    days = starts(date(2024, 2, 29), "America/New_York", 2025)
    assert [day.day for day in days] == [29, 29, 28, 29, 29, 29, 29, 29, 29, 29, 29, 29, 29][: len(days)]


def test_a_period_over_a_change_of_the_clock_is_an_hour_shorter_or_longer() -> None:
    berlin = "Europe/Berlin"
    spring = billing_period(date(2026, 1, 15), time_zone=berlin, at=datetime(2026, 3, 20, tzinfo=UTC))
    autumn = billing_period(date(2026, 1, 15), time_zone=berlin, at=datetime(2026, 10, 20, tzinfo=UTC))
    assert spring.end - spring.start == timedelta(days=31, hours=-1)
    assert autumn.end - autumn.start == timedelta(days=31, hours=1)


def test_a_midnight_that_does_not_exist_is_the_moment_of_the_change() -> None:
    period = billing_period(
        date(2018, 1, 4), time_zone="America/Sao_Paulo", at=datetime(2018, 11, 20, tzinfo=UTC)
    )
    assert period.start == datetime(2018, 11, 4, 3, tzinfo=UTC)
    assert period.start.astimezone(ZoneInfo("America/Sao_Paulo")).time() == time(1)


def test_of_a_midnight_that_comes_twice_it_is_the_first() -> None:
    period = billing_period(
        date(2026, 1, 1), time_zone="America/Havana", at=datetime(2026, 11, 20, tzinfo=UTC)
    )
    assert period.start == datetime(2026, 11, 1, 4, tzinfo=UTC)


@given(
    anchor=st.dates(date(2000, 1, 1), date(2030, 12, 31)),
    zone=st.sampled_from(ZONES),
    at=st.datetimes(datetime(2012, 1, 2), datetime(2040, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_periods_hold_their_moment_follow_on_one_another_and_begin_on_the_anchors_day(
    anchor: date, zone: str, at: datetime
) -> None:
    period = billing_period(anchor, time_zone=zone, at=at)
    assert period.start <= at < period.end
    assert billing_period(anchor, time_zone=zone, at=period.start) == period
    assert billing_period(anchor, time_zone=zone, at=period.end - INSTANT) == period
    assert billing_period(anchor, time_zone=zone, at=period.end).start == period.end
    local = period.start.astimezone(ZoneInfo(zone))
    assert local.day == min(anchor.day, monthrange(local.year, local.month)[1])
    assert local.time() <= time(1)
    assert timedelta(days=27, hours=22) < period.end - period.start < timedelta(days=31, hours=3)


def tenant(anchor: date, zone: str) -> Tenant:
    return Tenant(
        organization_id=None,  # type: ignore[arg-type] # nobody asks
        name="A",
        status="active",
        plan="starter",
        plan_overrides={},
        time_zone=zone,
        billing_anchor=anchor,
    )


@pytest.mark.parametrize(
    ("now", "starts_on", "ends_on"),
    [
        ("2027-02-28T04:59:59Z", "2027-01-31T05:00:00Z", "2027-02-28T05:00:00Z"),
        ("2027-02-28T05:00:00Z", "2027-02-28T05:00:00Z", "2027-03-31T04:00:00Z"),
        ("2028-02-29T05:00:00Z", "2028-02-29T05:00:00Z", "2028-03-31T04:00:00Z"),
        ("2028-03-31T03:59:59Z", "2028-02-29T05:00:00Z", "2028-03-31T04:00:00Z"),
        ("2028-03-31T04:00:00Z", "2028-03-31T04:00:00Z", "2028-04-30T04:00:00Z"),
        ("2028-11-30T12:00:00Z", "2028-11-30T05:00:00Z", "2028-12-31T05:00:00Z"),
    ],
)
def test_quota_is_of_the_period_of_now(now: str, starts_on: str, ends_on: str) -> None:
    with freeze_time(now):
        quota = Quota(None, tenant(date(2026, 1, 31), "America/New_York"))  # type: ignore[arg-type] # reads nothing
    assert quota.period == Period(datetime.fromisoformat(starts_on), datetime.fromisoformat(ends_on))
