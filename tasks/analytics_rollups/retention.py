"""Removes what the organization's plan does not keep: raw events first, rollups much later.

Months that no plan keeps go as whole partitions (``app.ensure_event_partitions``); this removes the rest.
"""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import CursorResult, DateTime, Delete, delete, func, select, tuple_
from sqlalchemy.orm import Session

from config.plans import terms_of
from models.analytics import AnalyticsBucket, AnalyticsDay, AnalyticsEvent, AnalyticsVisitor, Dimension
from models.organization import Organization
from tasks.analytics_counting import move_watermark

MARGIN = timedelta(days=2)
"""Raw events stay so much longer than they are accepted: no event comes to a quarter that lost some."""
BATCH = 50_000
"""Raw events that one pass removes; the next takes the rest."""


def remove_expired(session: Session, organization_id: UUID) -> int:
    """Remove a batch of what is not kept any more; return how many raw events went.

    Run it in a pass: the lock on the watermark keeps erasures and corrections away meanwhile.
    """
    row = session.execute(
        select(Organization.plan, Organization.plan_overrides, func.now(type_=DateTime(timezone=True))).where(
            Organization.organization_id == organization_id
        )
    ).one()
    terms, now = terms_of(row.plan, row.plan_overrides), row[2]
    _remove_rollups(session, organization_id, now - timedelta(days=terms.rollup_days))
    return _remove_raw(session, organization_id, now - timedelta(days=terms.event_days) - MARGIN)


def _remove_raw(session: Session, organization_id: UUID, before: datetime) -> int:
    event = AnalyticsEvent
    oldest = select(func.min(event.occurred_at)).where(event.organization_id == organization_id)
    first = session.execute(oldest).scalar_one()
    if first is None or first >= before:
        return 0
    doomed = (
        select(event.id, event.occurred_at)
        .where(event.organization_id == organization_id, event.occurred_at < before)
        .order_by(event.occurred_at)
        .limit(BATCH)
    )
    move_watermark(session, organization_id, raw_from=before)
    return _run(
        session,
        delete(event).where(
            event.organization_id == organization_id, tuple_(event.id, event.occurred_at).in_(doomed)
        ),
    )


def _remove_rollups(session: Session, organization_id: UUID, before: datetime) -> None:
    bucket, mark, day = AnalyticsBucket, AnalyticsVisitor, AnalyticsDay
    whole = (before - MARGIN).date()
    _run(
        session,
        delete(bucket).where(bucket.organization_id == organization_id, bucket.starts_at < before - MARGIN),
    )
    _run(session, delete(mark).where(mark.organization_id == organization_id, mark.day < whole))
    dimensions = day.dimension.in_(list(Dimension))  # leads the key
    _run(session, delete(day).where(day.organization_id == organization_id, dimensions, day.day < whole))


def _run(session: Session, statement: Delete) -> int:
    result = session.execute(statement.execution_options(synchronize_session=False))
    assert isinstance(result, CursorResult)
    return result.rowcount
