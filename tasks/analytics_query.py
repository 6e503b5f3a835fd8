"""Answers analytics queries: one metric by period, broken down, and beside the periods before."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from models.analytics import Dimension
from tasks.analytics_calendar import QUARTER, Grain, Span, begin_of
from tasks.analytics_reading import Slice, Sum, quarter_totals, read_days
from tasks.payloads import AnalyticsQuery

ADVANCED = "advanced_analytics"
BASIC_SPAN = {"15m": 2, "day": 92, "week": 92, "month": 92}
"""Days that a query without the advanced feature may ask for."""
LONGEST_SPAN = {"15m": 31, "day": 366, "week": 3 * 366, "month": 10 * 366}
"""Days that any query may ask for."""
MOST_ROWS = 20_000

Period = date | datetime
Value = int | float


class QueryTooLargeError(ValueError):
    """A query asks for more than one answer holds."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field} {message}")
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True)
class Point:
    """One period of one member."""

    period: Period
    """Its first day in the organization's zone; for 15m, the moment it begins."""
    member: str | None
    """Of the breakdown; null without one."""
    value: Value
    previous: Value | None = None
    """The same place in the range before; null if nothing was compared."""
    change: float | None = None
    """What became of it: 0.25 is a quarter more; null where there was nothing before."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query found."""

    metric: str
    grain: str
    breakdown: str | None
    first: date
    last: date
    time_zone: str
    estimated: bool
    """Distinct visitors of weeks, months and whole ranges are estimated: within 3.3 % in 95 of 100 cases."""
    total: Point
    """Of the whole range, whatever it is broken down by; visitors once, on however many days they came."""
    items: list[Point]
    omitted: int
    """Members of the breakdown beyond `limit`."""


def needs_advanced(query: AnalyticsQuery) -> bool:
    """Tell whether the query needs the feature `advanced_analytics`."""
    days = (query.last - query.first).days + 1
    return query.compare or query.breakdown not in {None, "name"} or days > BASIC_SPAN[query.grain]


def answer(session: Session, query: AnalyticsQuery, time_zone: str) -> Answer:
    """Answer from what is rolled up and the events since, to the second.

    Raises:
        QueryTooLargeError: The range is too long for the grain, or has too many members.
    """
    try:
        ranges = _ranges(query, time_zone)
        found = _measure(session, query, ranges, _slice(query))
        whole = found if query.breakdown is None else _measure(session, query, ranges, Slice(name=query.name))
    except (OverflowError, ValueError) as error:
        if isinstance(error, QueryTooLargeError):
            raise
        raise QueryTooLargeError("first", "or last is beyond any calendar") from error
    members = sorted(found.members, key=lambda member: (-found.weight[member], member))
    kept = members[: query.limit]
    items = _points(query, ranges, found, kept)
    if len(items) > MOST_ROWS:
        raise QueryTooLargeError("limit", f"makes more than {MOST_ROWS} rows; ask for less at once")
    total = _point(ranges.now.first, None, whole.total, whole.total_before, compared=query.compare)
    return Answer(
        metric=query.metric,
        grain=query.grain,
        breakdown=query.breakdown,
        first=ranges.now.first,
        last=ranges.now.last,
        time_zone=time_zone,
        estimated=query.metric == "visitors"
        and (query.grain in {"week", "month"} or len(ranges.periods) > 1),
        total=total,
        items=items,
        omitted=len(members) - len(kept),
    )


@dataclass(frozen=True, slots=True)
class Ranges:
    """The periods asked for, in order, and the period before each."""

    now: Span
    before: Span | None
    periods: list[Period]
    former: dict[Period, Period]


@dataclass(frozen=True, slots=True)
class Measured:
    """Values by period and member."""

    values: Mapping[tuple[Period, str], Value]
    total: Value
    total_before: Value
    members: set[str]
    weight: Mapping[str, Value]


def _ranges(query: AnalyticsQuery, time_zone: str) -> Ranges:
    days = (query.last - query.first).days + 1
    if days > LONGEST_SPAN[query.grain]:
        message = f"must be within {LONGEST_SPAN[query.grain]} days of last for grain {query.grain}"
        raise QueryTooLargeError("first", message)
    if query.grain == "15m":
        return _quarter_ranges(query, time_zone, days)
    grain = Grain(query.grain)
    first, end = grain.period_of(query.first), grain.shifted(grain.period_of(query.last), 1)
    periods: list[date] = [first]
    while (following := grain.shifted(periods[-1], 1)) < end:
        periods.append(following)
    former = {period: grain.shifted(period, -len(periods)) for period in periods}
    one = timedelta(days=1)
    before = Span(former[first], first - one, time_zone) if query.compare else None
    return Ranges(Span(first, end - one, time_zone), before, [*periods], {**former})


def _quarter_ranges(query: AnalyticsQuery, time_zone: str, days: int) -> Ranges:
    now = Span(query.first, query.last, time_zone)
    begins, ends = now.moments()
    periods: list[Period] = [begins + QUARTER * n for n in range((ends - begins) // QUARTER)]
    back = timedelta(days=days)
    before = Span(query.first - back, query.first - timedelta(days=1), time_zone) if query.compare else None
    # All by the same distance: by the clock, a change of clocks would leave quarters without one before.
    distance = begins - begin_of(query.first - back, now.zone)
    return Ranges(now, before, periods, {period: period - distance for period in periods})


def _slice(query: AnalyticsQuery) -> Slice:
    if query.breakdown in {None, "name"}:
        return Slice(by_name=query.breakdown == "name", name=query.name)
    return Slice(dimension=Dimension(query.breakdown), name=query.name)


def _measure(session: Session, query: AnalyticsQuery, ranges: Ranges, chosen: Slice) -> Measured:
    span = (
        ranges.now
        if ranges.before is None
        else Span(ranges.before.first, ranges.now.last, ranges.now.time_zone)
    )
    sums: dict[tuple[Period, str], Sum] = defaultdict(Sum)
    whole: dict[bool, Sum] = {True: Sum(), False: Sum()}
    weight: dict[str, Sum] = defaultdict(Sum)
    for row in read_days(session, span, chosen, visitors=query.metric == "visitors"):
        label = row.name if query.breakdown == "name" else row.member
        current = row.day >= ranges.now.first
        whole[current].add(row)
        if query.grain != "15m":
            sums[Grain(query.grain).period_of(row.day), label].add(row)
        if current:
            weight[label].add(row)
    values = {key: _value(one, query.metric) for key, one in sums.items()}
    if query.grain == "15m":
        values = dict(_quarters(session, query, span, chosen))
    return Measured(
        values,
        _value(whole[True], query.metric),
        _value(whole[False], query.metric),
        set(weight),
        {label: _value(one, query.metric) for label, one in weight.items()},
    )


def _quarters(
    session: Session, query: AnalyticsQuery, span: Span, chosen: Slice
) -> Iterable[tuple[tuple[Period, str], Value]]:
    for row in quarter_totals(session, span, chosen=chosen, visitors=query.metric == "visitors"):
        label = row.name if query.breakdown == "name" else row.member
        yield (row.period.astimezone(UTC), label), _value(row, query.metric)


def _value(one: Any, metric: str) -> Value:
    match metric:
        case "events":
            return int(one.events)
        case "value":
            return float(one.value_sum)
        case _:
            return int(one.visitors)


def _points(query: AnalyticsQuery, ranges: Ranges, found: Measured, members: list[str]) -> list[Point]:
    """Return a point for each period; with a breakdown, only where there is something."""
    points = []
    for period in ranges.periods:
        for member in [""] if query.breakdown is None else members:
            now = found.values.get((period, member), 0)
            before = found.values.get((ranges.former[period], member), 0)
            if query.breakdown is None or now or (query.compare and before):
                label = None if query.breakdown is None else member
                points.append(_point(period, label, now, before, compared=query.compare))
    return points


def _point(period: Period, member: str | None, now: Value, before: Value, *, compared: bool) -> Point:
    if not compared:
        return Point(period, member, now)
    return Point(period, member, now, before, round((now - before) / before, 6) if before else None)
