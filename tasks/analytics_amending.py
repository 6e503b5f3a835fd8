"""Take events back: erase a visitor, remove single events so that corrected ones may replace them.

Both lock the watermark and count what is touched again at once, by the same recount as a rollup pass: no
answer in between shows what is gone.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import Row, Text, bindparam, cast, delete, func, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from config.plans import MOST_EVENT_DAYS
from models.analytics import AnalyticsEvent, AnalyticsEventKey
from models.base import Xid8
from models.organization import Organization
from tasks.analytics_calendar import Calendar, days_of
from tasks.analytics_counting import (
    Watermark,
    lock_watermark,
    mark_again,
    quarter_of,
    rebuild_days,
    recount_quarters,
)


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure removed."""

    events: int
    """Raw events; those that were not kept any more had no name left on them."""
    quarters: int
    """Quarters of an hour in which the visitors were."""


def erase_visitors(session: Session, organization_id: UUID, visitors: Sequence[str]) -> Erased:
    """Remove every event and every mark of *visitors*, and count again where they were.

    Keys of their events stay: an event that is sent again stays away.
    """
    mark = _lock(session, organization_id)
    names = bindparam("visitors", list(visitors), type_=ARRAY(Text))
    gone = func.app.erase_visitors(names, cast(mark.xid, Xid8)).table_valued("quarter", "events")
    found = session.execute(select(gone.c.quarter, gone.c.events)).all()
    _count_again(session, organization_id, mark, [row.quarter for row in found])
    return Erased(sum(row.events for row in found), len(found))


def remove_events(session: Session, organization_id: UUID, keys: Collection[str]) -> set[str]:
    """Remove the events that came with *keys*; return the keys known, whose events may now be sent anew.

    A key is unknown that never came, whose event was erased or is too old, or that is forgotten by now.
    """
    mark = _lock(session, organization_id)
    known = _known(session, organization_id, keys)
    places = {(row.event_id, row.occurred_at): row.key for row in known if row.event_id is not None}
    removed = _remove(session, organization_id, list(places))
    counted = [row for row in removed if row.xid < mark.xid]
    touched = {(row.visitor, row.quarter) for row in counted if row.visitor is not None}
    if touched:
        mark_again(session, sorted(touched), mark.xid)
    _count_again(session, organization_id, mark, [row.quarter for row in counted])
    free = {row.key for row in known if row.event_id is None and row.occurred_at is not None}
    return free | {places[row.id, row.occurred_at] for row in removed}


def _lock(session: Session, organization_id: UUID) -> Watermark:
    statement = select(Organization.time_zone).where(Organization.organization_id == organization_id)
    return lock_watermark(session, organization_id, session.execute(statement).scalar_one())


def _count_again(
    session: Session, organization_id: UUID, mark: Watermark, quarters: Sequence[datetime]
) -> None:
    """Count quarters whose raw events are still kept, and make the days of all of them anew."""
    kept_from = datetime.now(UTC) - timedelta(
        days=MOST_EVENT_DAYS
    )  # months of before may have gone for everybody
    if mark.raw_from is not None:
        kept_from = max(kept_from, mark.raw_from)
    whole = sorted({quarter for quarter in quarters if quarter >= kept_from})
    if whole:
        recount_quarters(session, whole, mark.xid)
    if quarters:
        days = days_of(quarters, mark.time_zone)
        rebuild_days(session, organization_id, Calendar.of(days, mark.time_zone))


def _known(
    session: Session, organization_id: UUID, keys: Collection[str]
) -> Sequence[Row[str, UUID | None, datetime | None]]:
    key = AnalyticsEventKey
    statement = (
        select(key.key, key.event_id, key.occurred_at)
        .where(key.organization_id == organization_id, key.key.in_(keys))
        .order_by(key.key)
        .with_for_update()
    )
    return session.execute(statement).all()


def _remove(
    session: Session, organization_id: UUID, places: Sequence[tuple[UUID, datetime]]
) -> Sequence[Row[UUID, datetime, str | None, int, datetime]]:
    if not places:
        return []
    event = AnalyticsEvent
    quarter = quarter_of(event.occurred_at)
    statement = (
        delete(event)
        .where(event.organization_id == organization_id, tuple_(event.id, event.occurred_at).in_(places))
        .returning(event.id, event.occurred_at, event.visitor, event.xid, quarter.label("quarter"))
        .execution_options(synchronize_session=False)
    )
    return session.execute(statement).all()
