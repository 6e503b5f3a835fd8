"""Days of an organization's own zone, and the quarters of an hour that make them up."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

QUARTER = timedelta(minutes=15)


class Grain(StrEnum):
    """How long one period is."""

    DAY = "day"
    WEEK = "week"
    """From Monday."""
    MONTH = "month"

    def period_of(self, day: date) -> date:
        """Return the first day of the period that holds *day*."""
        match self:
            case Grain.DAY:
                return day
            case Grain.WEEK:
                return day - timedelta(days=day.weekday())
            case Grain.MONTH:
                return day.replace(day=1)

    def shifted(self, period: date, count: int) -> date:
        """Return the period that begins *count* periods after *period*, or before it."""
        match self:
            case Grain.DAY:
                return period + timedelta(days=count)
            case Grain.WEEK:
                return period + timedelta(weeks=count)
            case Grain.MONTH:
                months = period.year * 12 + period.month - 1 + count
                return date(months // 12, months % 12 + 1, 1)


@dataclass(frozen=True, slots=True)
class Span:
    """Local days, both inclusive, in one zone."""

    first: date
    last: date
    time_zone: str

    def moments(self) -> tuple[datetime, datetime]:
        """Return the moments at which the span begins and at which it has ended."""
        return begin_of(self.first, self.zone), begin_of(self.last + timedelta(days=1), self.zone)

    @property
    def zone(self) -> ZoneInfo:
        """The rules of its zone."""
        return ZoneInfo(self.time_zone)

    def calendar(self) -> "Calendar":
        """Return all days of the span."""
        count = (self.last - self.first).days + 1
        return Calendar.of((self.first + timedelta(days=n) for n in range(count)), self.time_zone)


@dataclass(frozen=True, slots=True)
class Calendar:
    """Local days in order, with the moments at which each begins and has ended.

    Python knows the zones, the database only compares moments: two copies of the zones' rules could differ.
    """

    days: Sequence[date]
    begins: Sequence[datetime]
    ends: Sequence[datetime]

    @classmethod
    def of(cls, days: Iterable[date], time_zone: str) -> "Calendar":
        """Return the calendar of *days* in a zone."""
        zone, ordered = ZoneInfo(time_zone), sorted(set(days))
        begins = [begin_of(day, zone) for day in ordered]
        ends = [begin_of(day + timedelta(days=1), zone) for day in ordered]
        return cls(ordered, begins, ends)

    def arrays(self) -> dict[str, Any]:
        """Return the parameters of the database's functions."""
        return {"days": list(self.days), "begins": list(self.begins), "ends": list(self.ends)}

    def batches(self, size: int) -> "Iterable[Calendar]":
        """Yield calendars of at most *size* of the days."""
        for at in range(0, len(self.days), size):
            part = slice(at, at + size)
            yield Calendar(self.days[part], self.begins[part], self.ends[part])


def begin_of(day: date, zone: ZoneInfo) -> datetime:
    """Return the moment at which a local day begins; a midnight that the clocks skip is when they jump."""
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def days_of(moments: Iterable[datetime], time_zone: str) -> set[date]:
    """Return the local days on which *moments* lie."""
    zone = ZoneInfo(time_zone)
    return {moment.astimezone(zone).date() for moment in moments}
