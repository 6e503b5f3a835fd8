"""Where an organization's own days begin and end."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.analytics_calendar import Span

ZONES = st.sampled_from(
    [
        "UTC",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "America/Sao_Paulo",
        "America/Los_Angeles",
        "Asia/Beirut",
    ]
)
DAYS = st.dates(date(1995, 1, 1), date(2035, 12, 31))


@given(ZONES, DAYS)
def test_a_day_ends_where_the_next_begins(zone: str, day: date) -> None:
    tomorrow = day + timedelta(days=1)
    assert Span(day, day, zone).moments()[1] == Span(tomorrow, tomorrow, zone).moments()[0]


@given(ZONES, DAYS)
def test_a_day_begins_on_a_quarter_of_an_hour(zone: str, day: date) -> None:
    begins, _ = Span(day, day, zone).moments()
    assert begins.timestamp() % 900 == 0


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("America/Los_Angeles", date(2026, 3, 8), 23),
        ("America/Los_Angeles", date(2026, 11, 1), 25),
        ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
        ("America/Sao_Paulo", date(2017, 10, 15), 23),
        ("Asia/Kathmandu", date(2026, 5, 17), 24),
    ],
)
def test_days_around_a_change_of_clocks_have_their_own_length(zone: str, day: date, hours: float) -> None:
    begins, ends = Span(day, day, zone).moments()
    assert ends - begins == timedelta(hours=hours)
