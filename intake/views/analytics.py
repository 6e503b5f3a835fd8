"""What a tenant sees of its analytics."""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from intake.views.base import View
from models.analytics import AnalyticsBucket
from tasks.analytics_reading import Grain, Span, totals

MOST_QUARTERS = 50_000


class RollupGrain(StrEnum):
    QUARTER = "15m"
    DAY = Grain.DAY.value
    WEEK = Grain.WEEK.value
    MONTH = Grain.MONTH.value


class TotalsView(View):
    """What happened in one period, by event name."""

    period: date | datetime
    """The first day, in the organization's zone; weeks begin on Monday. For 15m, the moment it begins."""
    name: str
    events: int
    value_sum: float
    visitors: int
    """Distinct visitors within the period; never the sum of shorter ones."""


class RollupView(View):
    """TotalsView of the periods that have events, in order of period and name."""

    grain: RollupGrain
    first: date
    last: date
    time_zone: str
    items: list[TotalsView]


def read_rollup(session: Session, organization_id: UUID, span: Span, grain: RollupGrain) -> list[TotalsView]:
    """Return the totals of the span.

    Days and longer include events that no rollup has counted yet; quarters of an hour are what was rolled up.
    """
    if grain is RollupGrain.QUARTER:
        return _quarters(session, span)
    found = totals(session, organization_id, span, grain=Grain(grain.value))
    return [TotalsView.model_validate(one) for one in found]


def _quarters(session: Session, span: Span) -> list[TotalsView]:
    begins, ends = span.moments()
    bucket = AnalyticsBucket
    query = (
        select(
            bucket.starts_at.label("period"), bucket.name, bucket.events, bucket.value_sum, bucket.visitors
        )
        .where(bucket.starts_at >= begins, bucket.starts_at < ends)
        .order_by(bucket.starts_at, bucket.name)
        .limit(MOST_QUARTERS)
    )
    return [TotalsView.model_validate(row) for row in session.execute(query)]
