"""The span of a report: whole weeks or months where the organization is, and the weeks of its trends."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from models.report import ReportGrain

TREND_WEEKS = 8
"""Trends look at so many weeks."""

WEEK = timedelta(days=7)
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Window:
    """Local days, both inclusive, and the moments at which they begin and have ended."""

    first: date
    last: date
    begins: datetime
    ends: datetime


@dataclass(frozen=True, slots=True)
class Period:
    """What a report covers: a window, the one before it, and eight weeks up to its end."""

    grain: ReportGrain
    time_zone: str
    current: Window
    previous: Window
    weeks: tuple[Window, ...]
    """Oldest first; the last one ends with the period, or within it where a month ends in mid-week."""

    @property
    def windows(self) -> tuple[Window, ...]:
        """Return every window whose figures are wanted: current, previous, weeks."""
        return (self.current, self.previous, *self.weeks)


def period_of(grain: ReportGrain, day: date, time_zone: str) -> Period:
    """Return the period that holds the local *day*."""
    first = first_day(grain, day)
    current = _window(first, last_day(grain, first), time_zone)
    previous = _window(first_day(grain, first - DAY), first - DAY, time_zone)
    # The last Sunday that is not after the period's end.
    sunday = current.last - timedelta(days=(current.last.weekday() + 1) % 7)
    mondays = [sunday + DAY - WEEK * back for back in range(TREND_WEEKS, 0, -1)]
    weeks = tuple(_window(monday, monday + WEEK - DAY, time_zone) for monday in mondays)
    return Period(grain, time_zone, current, previous, weeks)


def last_ended(grain: ReportGrain, now: datetime, time_zone: str) -> date:
    """Return the first day of the last period that had ended by *now*."""
    today = now.astimezone(ZoneInfo(time_zone)).date()
    return first_day(grain, first_day(grain, today) - DAY)


def first_day(grain: ReportGrain, day: date) -> date:
    """Return the first day of the period that holds *day*."""
    if grain is ReportGrain.MONTH:
        return day.replace(day=1)
    return day - timedelta(days=day.weekday())


def last_day(grain: ReportGrain, first: date) -> date:
    """Return the last day of the period that begins on *first*."""
    if grain is ReportGrain.MONTH:
        return (first + timedelta(days=31)).replace(day=1) - DAY
    return first + WEEK - DAY


def _window(first: date, last: date, time_zone: str) -> Window:
    zone = ZoneInfo(time_zone)
    begins, ends = (datetime.combine(day, time.min, zone).astimezone(UTC) for day in (first, last + DAY))
    return Window(first, last, begins, ends)
