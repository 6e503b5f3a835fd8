"""One rollup pass: count again every quarter of an hour that has events below the safe watermark."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import cast, delete, func, select
from sqlalchemy.orm import Session

from models.analytics import AnalyticsBucket, AnalyticsDay, AnalyticsEvent
from models.base import Xid8
from models.organization import Organization
from tasks.analytics_calendar import Calendar, days_of
from tasks.analytics_counting import (
    advance_days,
    lock_watermark,
    move_watermark,
    quarter_of,
    rebuild_days,
    recount_quarters,
)


@dataclass(frozen=True, slots=True)
class PassResult:
    """What a pass did. Running it again at once changes nothing."""

    since: int
    """Watermark before: transactions below it were counted already."""
    until: int
    """Watermark after."""
    buckets: int
    """Quarters counted again."""
    days: int
    """Days brought up to date, or made anew in another zone."""
    earliest: datetime | None
    latest: datetime | None


def run_pass(session: Session, organization_id: UUID) -> PassResult:
    """Count what is new and move the watermark, in the caller's transaction.

    The watermark is the oldest transaction still running when the pass looked: everything below it has ended,
    so no event can appear below it later. A row lock on the watermark makes passes of one organization queue.
    """
    zone = zone_of(session, organization_id)
    mark = lock_watermark(session, organization_id, zone)
    until = session.execute(
        select(cast(func.pg_snapshot_xmin(func.pg_current_snapshot()), Xid8))
    ).scalar_one()
    dirty = _dirty_quarters(session, organization_id, mark.xid, until)
    kept = [quarter for quarter in dirty if mark.raw_from is None or quarter >= mark.raw_from]
    if kept:
        recount_quarters(session, kept, until)
    days = days_of(kept, mark.time_zone)
    if kept:
        calendar = Calendar.of(days, mark.time_zone)
        advance_days(session, organization_id, calendar, mark=mark, until=until)
    if mark.time_zone != zone:
        days = _change_zone(session, organization_id, zone)
    if until > mark.xid:
        move_watermark(session, organization_id, xid=until)
    return PassResult(mark.xid, until, len(kept), len(days), min(kept, default=None), max(kept, default=None))


def _change_zone(session: Session, organization_id: UUID, zone: str) -> set[date]:
    """Make all days anew in *zone*, from quarters and marks."""
    bucket = AnalyticsBucket
    quarters = select(bucket.starts_at).where(bucket.organization_id == organization_id).distinct()
    days = days_of(session.execute(quarters).scalars(), zone)
    session.execute(
        delete(AnalyticsDay)
        .where(AnalyticsDay.organization_id == organization_id)
        .execution_options(synchronize_session=False)
    )
    rebuild_days(session, organization_id, Calendar.of(days, zone))
    move_watermark(session, organization_id, time_zone=zone)
    return days


def zone_of(session: Session, organization_id: UUID) -> str:
    """Return the organization's zone."""
    statement = select(Organization.time_zone).where(Organization.organization_id == organization_id)
    return session.execute(statement).scalar_one()


def _dirty_quarters(session: Session, organization_id: UUID, since: int, until: int) -> list[datetime]:
    statement = (
        select(quarter_of(AnalyticsEvent.occurred_at))
        .where(
            AnalyticsEvent.organization_id == organization_id,
            AnalyticsEvent.xid >= since,
            AnalyticsEvent.xid < until,
        )
        .distinct()
    )
    return list(session.execute(statement).scalars())
