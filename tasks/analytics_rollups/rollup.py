"""One rollup pass: count again every 15-minute bucket that has events below the safe watermark."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import (
    DateTime,
    Interval,
    Uuid,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as insert_or
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement, SQLColumnExpression

from models.analytics import AnalyticsBucket, AnalyticsEvent, AnalyticsWatermark
from models.base import Xid8

ROLLUP_NAME = "quarter_hours"
BUCKET = timedelta(minutes=15)

_EPOCH = cast(literal("epoch"), DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class PassResult:
    """What a pass did. Running it again at once changes nothing."""

    since: int
    """Watermark before: transactions below it were counted already."""
    until: int
    """Watermark after."""
    buckets: int
    """Buckets counted again."""
    earliest: datetime | None
    latest: datetime | None


def run_pass(session: Session, organization_id: UUID) -> PassResult:
    """Count what is new into the buckets and move the watermark, in the caller's transaction.

    The watermark is the oldest transaction still running when the pass looked: everything below it has ended,
    so no event can appear below it later. A row lock on the watermark makes passes of one organization queue.
    """
    since = _lock_watermark(session, organization_id)
    until = session.execute(
        select(cast(func.pg_snapshot_xmin(func.pg_current_snapshot()), Xid8))
    ).scalar_one()
    dirty = _dirty_buckets(session, organization_id, since, until)
    if dirty:
        _recount(session, organization_id, dirty, until)
    if until > since:
        _move_watermark(session, organization_id, until)
    return PassResult(since, until, len(dirty), min(dirty, default=None), max(dirty, default=None))


def _lock_watermark(session: Session, organization_id: UUID) -> int:
    session.execute(
        insert_or(AnalyticsWatermark)
        .values(organization_id=organization_id, rollup=ROLLUP_NAME)
        .on_conflict_do_nothing()
    )
    statement = (
        select(AnalyticsWatermark.xid)
        .where(
            AnalyticsWatermark.organization_id == organization_id, AnalyticsWatermark.rollup == ROLLUP_NAME
        )
        .with_for_update()
    )
    return session.execute(statement).scalar_one()


def bucket_of(moment: SQLColumnExpression[datetime]) -> ColumnElement[datetime]:
    """Return the start of the 15-minute UTC bucket that holds *moment*."""
    return func.date_bin(cast(literal("15 minutes"), Interval), moment, _EPOCH, type_=DateTime(timezone=True))


def _dirty_buckets(session: Session, organization_id: UUID, since: int, until: int) -> list[datetime]:
    statement = (
        select(bucket_of(AnalyticsEvent.occurred_at))
        .where(
            AnalyticsEvent.organization_id == organization_id,
            AnalyticsEvent.xid >= since,
            AnalyticsEvent.xid < until,
        )
        .distinct()
    )
    return list(session.execute(statement).scalars())


def _recount(session: Session, organization_id: UUID, dirty: list[datetime], until: int) -> None:
    """Delete the dirty buckets and insert them again from the raw events below *until*."""
    starts = cast(bindparam("dirty", dirty), ARRAY(DateTime(timezone=True)))
    session.execute(
        delete(AnalyticsBucket)
        .where(
            AnalyticsBucket.organization_id == organization_id,
            AnalyticsBucket.starts_at == func.any(starts),
        )
        .execution_options(synchronize_session=False)
    )
    bucket = func.unnest(starts).table_valued("starts_at", name="bucket").render_derived()
    event = AnalyticsEvent
    # Counted within each bucket: Postgres has to read one short range of the index per bucket, however little
    # it knows of the table, so that a pass costs what is new and not what is old.
    counted = (
        select(
            event.name,
            func.count().label("events"),
            func.count(event.visitor.distinct()).label("visitors"),
            func.coalesce(func.sum(event.value), 0).label("value_sum"),
        )
        .where(
            event.organization_id == organization_id,
            event.occurred_at >= bucket.c.starts_at,
            event.occurred_at < bucket.c.starts_at + BUCKET,
            event.xid < until,
        )
        .group_by(event.name)
        .lateral("counted")
    )
    rows = select(literal(organization_id, Uuid), bucket.c.starts_at, *counted.c).select_from(
        bucket.join(counted, true())
    )
    columns = ["organization_id", "starts_at", "name", "events", "visitors", "value_sum"]
    session.execute(insert(AnalyticsBucket).from_select(columns, rows))


def _move_watermark(session: Session, organization_id: UUID, until: int) -> None:
    session.execute(
        update(AnalyticsWatermark)
        .where(
            AnalyticsWatermark.organization_id == organization_id, AnalyticsWatermark.rollup == ROLLUP_NAME
        )
        .values(xid=until, updated_at=func.now())
        .execution_options(synchronize_session=False)
    )
