"""When a schedule runs: cron or interval, time zone, jitter, catch-up; knows no database and no clock."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from hashlib import sha256
from itertools import pairwise, product, takewhile
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

LONGEST_CRON = 200
"""Characters."""

RUNS_PER_FIRING = 500
"""Moments that one firing settles at most; after a long outage the next one goes on from there."""

_ADVICE = "write five fields, minute hour day month weekday, as in 0 9 * * MON-FRI"
_CALENDAR = (datetime(2024, 1, 1, tzinfo=UTC), datetime(2052, 1, 1, tzinfo=UTC))
"""28 years: in them every date falls on every weekday."""
_MOMENT = timedelta(microseconds=1)
_DAY = 24 * 60
"""Minutes."""


class TimingError(ValueError):
    """A schedule that cannot be: *field* is wrong, and the message says what to write."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Timing:
    """The nominal moments of a schedule.

    Cron follows the clock on the wall of *time_zone*. A wall time that a clock change leaves out runs at the
    first one after it; one that comes twice runs the first time only; ``*`` in minutes or hours runs by
    elapsed time. An interval is elapsed time, counted from *starts_at*.
    """

    cron: str | None
    interval: timedelta | None
    time_zone: str
    starts_at: datetime
    ends_at: datetime | None = None

    def check(self) -> None:
        """Raise TimingError if there can be no such schedule."""
        if (self.cron is None) == (self.interval is None):
            raise TimingError("cron", "give either cron or interval_seconds, and not both")
        if self.time_zone not in _zone_names():
            raise TimingError("time_zone", "is no known time zone; write one such as Europe/Berlin or UTC")
        if self.ends_at is not None and self.ends_at <= self.starts_at:
            raise TimingError("ends_at", "must be after starts_at")
        if self.cron is not None:
            _check_cron(self.cron)
        if self.next_after(self.starts_at - _MOMENT) is None:
            raise TimingError(
                "cron" if self.cron else "interval_seconds",
                "never runs between starts_at and ends_at; choose moments that come, or a later ends_at",
            )

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield every nominal moment after *moment*, in UTC."""
        begin = max(moment, self.starts_at - _MOMENT).astimezone(UTC)
        moments = self._by_interval(begin) if self.interval else self._by_cron(begin)
        ends_at = self.ends_at
        return moments if ends_at is None else takewhile(lambda each: each <= ends_at, moments)

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first nominal moment after *moment*; None when there is none."""
        return next(self.after(moment), None)

    def shortest_gap(self) -> timedelta:
        """Return the shortest time between two runs on the wall clock; of cron, a day at most.

        On the day of a clock change two runs may come closer; no plan minds that.
        """
        return self.interval if self.interval is not None else _shortest_gap(self.cron or "")

    def _by_interval(self, begin: datetime) -> Iterator[datetime]:
        assert self.interval is not None
        start = self.starts_at.astimezone(UTC)
        number = (begin - start) // self.interval + 1
        while True:
            yield start + number * self.interval
            number += 1

    def _by_cron(self, begin: datetime) -> Iterator[datetime]:
        assert self.cron is not None
        for local in CronSim(self.cron, begin.astimezone(ZoneInfo(self.time_zone))):
            moment = local.astimezone(UTC)
            # In an hour that comes twice, cronsim counts from the wall clock and names moments of the first.
            if moment > begin:
                yield moment


@dataclass(frozen=True, slots=True)
class DueRun:
    """A nominal moment that has come."""

    nominal: datetime
    late: bool
    """It is past the catch-up window."""


@dataclass(frozen=True, slots=True)
class Due:
    """The moments to settle now, and the one that follows them (which may have come too)."""

    runs: tuple[DueRun, ...]
    following: datetime | None


def due_runs(timing: Timing, following: datetime | None, *, now: datetime, catch_up: timedelta) -> Due:
    """Return the moments from *following* up to *now*, at most `RUNS_PER_FIRING`."""
    found: list[DueRun] = []
    while following is not None and following <= now and len(found) < RUNS_PER_FIRING:
        found.append(DueRun(following, late=now - following > catch_up))
        following = timing.next_after(following)
    return Due(tuple(found), following)


def jittered(schedule_id: UUID, nominal: datetime, jitter: timedelta) -> datetime | None:
    """Return when the run of *nominal* may start, or None for at once.

    Drawn evenly from the jitter by hash: every beat computes the same moment.
    """
    if not jitter:
        return None
    drawn = sha256(f"{schedule_id}/{nominal.timestamp()}".encode()).digest()
    return nominal + jitter * (int.from_bytes(drawn[:8]) / 2**64)


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones())


def _check_cron(cron: str) -> None:
    if len(cron) > LONGEST_CRON or len(cron.split()) != 5:  # noqa: PLR2004 - the fields that the advice lists
        raise TimingError("cron", f"must have five fields; {_ADVICE}")
    try:
        first = next(CronSim(cron, _CALENDAR[0]), None)
    except CronSimError as error:
        raise TimingError("cron", f"has a {str(error).lower()}; {_ADVICE}") from None
    if first is None:
        raise TimingError("cron", f"names a day that never comes; {_ADVICE}")


@lru_cache(maxsize=4_096)
def _shortest_gap(cron: str) -> timedelta:
    """Return the least distance within a day, or over midnight if two days in a row run; a day at most."""
    fields = CronSim(cron, _CALENDAR[0])
    times = [60 * hour + minute for hour, minute in product(sorted(fields.hours), sorted(fields.minutes))]
    gaps = [later - earlier for earlier, later in pairwise(times)] or [_DAY]
    over_midnight = _DAY - times[-1] + times[0]
    if over_midnight < min(gaps) and _runs_two_days_in_a_row(cron):
        gaps.append(over_midnight)
    return timedelta(minutes=min(gaps))


def _runs_two_days_in_a_row(cron: str) -> bool:
    midnights = CronSim(" ".join(["0 0", *cron.split()[2:]]), _CALENDAR[0])
    days = takewhile(lambda day: day < _CALENDAR[1], midnights)
    return any((later - earlier).days == 1 for earlier, later in pairwise(days))
