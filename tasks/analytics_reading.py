"""Read analytics by day, week or month in the organization's own zone, exact to the last committed event."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Date, Select, cast, func, select, union_all
from sqlalchemy.orm import Session
from sqlalchemy.sql import SQLColumnExpression

from models.analytics import AnalyticsBucket, AnalyticsEvent, AnalyticsWatermark
from models.base import Xid8


class Grain(StrEnum):
    """How long one period is."""

    DAY = "day"
    WEEK = "week"
    """From Monday."""
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Totals:
    """What happened in one period, by event name."""

    period: date
    """Its first day in the organization's zone."""
    name: str
    events: int
    value_sum: float
    visitors: int
    """Distinct visitors of the whole period, exact."""


@dataclass(frozen=True, slots=True)
class Span:
    """Local days, both inclusive, in one zone."""

    first: date
    last: date
    time_zone: str

    def moments(self) -> tuple[datetime, datetime]:
        """Return the moments at which the span begins and at which it has ended."""
        zone = ZoneInfo(self.time_zone)
        after = self.last + timedelta(days=1)
        begins, ends = (datetime.combine(day, time.min, zone) for day in (self.first, after))
        return begins.astimezone(UTC), ends.astimezone(UTC)


def totals(
    session: Session,
    organization_id: UUID,
    span: Span,
    *,
    grain: Grain = Grain.DAY,
    rollup: str = "quarter_hours",
) -> list[Totals]:
    """Return the totals of each period that has events, in order of period and name.

    Everything is read in one statement, hence one snapshot: buckets and the events that no bucket counts yet
    leave nothing out and count nothing twice, whatever a rollup commits meanwhile.
    """
    counts = _counts(organization_id, span, grain, rollup).cte("counts")
    visitors = _visitors(organization_id, span, grain).cte("uniques")
    statement = (
        select(counts, func.coalesce(visitors.c.visitors, 0).label("visitors"))
        .outerjoin(visitors, (visitors.c.period == counts.c.period) & (visitors.c.name == counts.c.name))
        .order_by(counts.c.period, counts.c.name)
    )
    return [
        Totals(
            period=row.period,
            name=row.name,
            events=int(row.events),
            value_sum=float(row.value_sum),
            visitors=row.visitors,
        )
        for row in session.execute(statement)
    ]


def _period(moment: SQLColumnExpression[datetime], span: Span, grain: Grain) -> SQLColumnExpression[date]:
    """Return the first local day of the period that holds *moment*."""
    return cast(func.date_trunc(grain.value, func.timezone(span.time_zone, moment)), Date).label("period")


def _counts(organization_id: UUID, span: Span, grain: Grain, rollup: str) -> Select[*tuple[Any, ...]]:
    begins, ends = span.moments()
    watermark = (
        select(AnalyticsWatermark.xid)
        .where(AnalyticsWatermark.organization_id == organization_id, AnalyticsWatermark.rollup == rollup)
        .scalar_subquery()
    )
    bucket, event = AnalyticsBucket, AnalyticsEvent
    counted = select(
        _period(bucket.starts_at, span, grain), bucket.name, bucket.events, bucket.value_sum
    ).where(bucket.organization_id == organization_id, bucket.starts_at >= begins, bucket.starts_at < ends)
    fresh = (
        select(
            _period(event.occurred_at, span, grain),
            event.name,
            func.count().label("events"),
            func.coalesce(func.sum(event.value), 0).label("value_sum"),
        )
        .where(
            event.organization_id == organization_id,
            event.xid >= func.coalesce(watermark, cast("0", Xid8)),
            event.occurred_at >= begins,
            event.occurred_at < ends,
        )
        .group_by("period", event.name)
    )
    both = union_all(counted, fresh).subquery("both")
    return select(
        both.c.period,
        both.c.name,
        func.sum(both.c.events).label("events"),
        func.sum(both.c.value_sum).label("value_sum"),
    ).group_by(both.c.period, both.c.name)


def _visitors(organization_id: UUID, span: Span, grain: Grain) -> Select[*tuple[Any, ...]]:
    begins, ends = span.moments()
    event = AnalyticsEvent
    return (
        select(
            _period(event.occurred_at, span, grain),
            event.name,
            func.count(event.visitor.distinct()).label("visitors"),
        )
        .where(
            event.organization_id == organization_id, event.occurred_at >= begins, event.occurred_at < ends
        )
        .group_by("period", event.name)
    )


def unique_visitors(session: Session, organization_id: UUID, span: Span) -> int:
    """Return how many distinct visitors the span had, over all event names; exact."""
    begins, ends = span.moments()
    statement = select(func.count(AnalyticsEvent.visitor.distinct())).where(
        AnalyticsEvent.organization_id == organization_id,
        AnalyticsEvent.occurred_at >= begins,
        AnalyticsEvent.occurred_at < ends,
    )
    return session.execute(statement).scalar_one()
