"""What a rollup counts: the watermark and, behind it, quarters of an hour, marks of visitors and days."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Date,
    DateTime,
    Interval,
    Row,
    Text,
    bindparam,
    cast,
    delete,
    func,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement, SQLColumnExpression

from models.analytics import AnalyticsDay, AnalyticsWatermark, Dimension
from models.base import Xid8
from tasks.analytics_calendar import Calendar
from tasks.analytics_sketch import add

ROLLUP_NAME = "quarter_hours"
DAYS_AT_ONCE = 7
"""Days whose visitors are in memory together when days are made anew."""

_EPOCH = cast(literal("epoch"), DateTime(timezone=True))
_SCOPES = {"dimensions": list(Dimension), "namings": [True, False], "only_name": None}
_CALENDAR = (
    bindparam("days", type_=ARRAY(Date)),
    bindparam("begins", type_=ARRAY(DateTime(timezone=True))),
    bindparam("ends", type_=ARRAY(DateTime(timezone=True))),
)
_CHOICE = bindparam("dimensions", type_=ARRAY(Text))

COUNT_DAYS = text("""
    INSERT INTO analytics_days AS kept (organization_id, day, dimension, name, member, events, value_sum)
    SELECT :organization_id, made.* FROM app.count_days(:days, :begins, :ends) AS made
    ON CONFLICT (organization_id, dimension, day, name, member)
    DO UPDATE SET events = excluded.events, value_sum = excluded.value_sum
""").bindparams(*_CALENDAR)
GAINED = text("""
    SELECT gained.*, kept.sketch
    FROM app.gained_visitors(
        :since, :until, :days, :begins, :ends, :dimensions, :namings, cast(:only_name AS text)) AS gained
    JOIN analytics_days AS kept USING (day, dimension, name, member)
    WHERE kept.organization_id = :organization_id
""").bindparams(*_CALENDAR, _CHOICE, bindparam("since", type_=Xid8), bindparam("until", type_=Xid8))
ALL_VISITORS = text("""
    SELECT made.*, NULL::bytea AS sketch
    FROM app.visitors_of_days(:days, :begins, :ends, :dimensions, :namings, cast(:only_name AS text)) AS made
""").bindparams(*_CALENDAR, _CHOICE)
ADD_VISITORS = text("""
    UPDATE analytics_days AS kept SET visitors = kept.visitors + gained.visitors, sketch = gained.sketch
    FROM unnest(cast(:days AS date[]), cast(:dimensions AS text[]), cast(:names AS text[]),
                cast(:members AS text[]), cast(:counts AS bigint[]), cast(:sketches AS bytea[]))
        AS gained (day, dimension, name, member, visitors, sketch)
    WHERE kept.organization_id = :organization_id AND kept.dimension = gained.dimension
      AND kept.day = gained.day AND kept.name = gained.name AND kept.member = gained.member
""")


def quarter_of(moment: SQLColumnExpression[datetime]) -> ColumnElement[datetime]:
    """Return the start of the quarter of an hour (UTC) that holds *moment*."""
    return func.date_bin(cast(literal("15 minutes"), Interval), moment, _EPOCH, type_=DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far the organization's rollups have counted, and how they are kept."""

    xid: int
    time_zone: str
    raw_from: datetime | None


def lock_watermark(session: Session, organization_id: UUID, time_zone: str) -> Watermark:
    """Return the watermark, locked: passes, erasures and corrections of one organization queue.

    Where there is none yet, the days are going to be kept in *time_zone*.
    """
    session.execute(
        insert(AnalyticsWatermark)
        .values(organization_id=organization_id, rollup=ROLLUP_NAME, time_zone=time_zone)
        .on_conflict_do_nothing()
    )
    mark = AnalyticsWatermark
    statement = (
        select(mark.xid, mark.time_zone, mark.raw_from)
        .where(mark.organization_id == organization_id, mark.rollup == ROLLUP_NAME)
        .with_for_update()
    )
    row = session.execute(statement).one()
    return Watermark(row.xid, row.time_zone, row.raw_from)


def raw_from(session: Session, organization_id: UUID) -> datetime | None:
    """Return from when on raw events are kept; None if none were removed yet."""
    mark = AnalyticsWatermark
    statement = select(mark.raw_from).where(
        mark.organization_id == organization_id, mark.rollup == ROLLUP_NAME
    )
    return session.execute(statement).scalar_one_or_none()


def move_watermark(session: Session, organization_id: UUID, **values: Any) -> None:
    """Set columns of the watermark."""
    session.execute(
        update(AnalyticsWatermark)
        .where(
            AnalyticsWatermark.organization_id == organization_id, AnalyticsWatermark.rollup == ROLLUP_NAME
        )
        .values(**values, updated_at=func.now())
        .execution_options(synchronize_session=False)
    )


def recount_quarters(session: Session, quarters: Sequence[datetime], until: int) -> None:
    """Delete the quarters and count them again from the raw events below *until*."""
    moments = bindparam("quarters", list(quarters), type_=ARRAY(DateTime(timezone=True)))
    session.execute(select(func.app.recount_quarters(moments, cast(until, Xid8))))


def advance_days(
    session: Session, organization_id: UUID, calendar: Calendar, *, mark: Watermark, until: int
) -> None:
    """Bring days up to date after their quarters: counts from those, visitors by whom the new events add.

    Then mark the new visitors; in this order, or nobody would be new.
    """
    here: dict[str, Any] = {"organization_id": organization_id}
    for part in calendar.batches(DAYS_AT_ONCE):
        session.execute(COUNT_DAYS, here | part.arrays())
        span = here | _SCOPES | part.arrays() | {"since": mark.xid, "until": until}
        _add_visitors(session, organization_id, session.execute(GAINED, span).all())
    session.execute(
        select(func.app.mark_visitors(cast(mark.xid, Xid8), cast(until, Xid8), _moment(mark.raw_from)))
    )


def mark_again(session: Session, visitors: Sequence[tuple[str, datetime]], until: int) -> None:
    """Mark visitors anew in single quarters, after events of theirs in these were removed."""
    names = bindparam("visitors", [visitor for visitor, _ in visitors], type_=ARRAY(Text))
    moments = bindparam("moments", [quarter for _, quarter in visitors], type_=ARRAY(DateTime(timezone=True)))
    session.execute(select(func.app.mark_again(names, moments, cast(until, Xid8))))


def _moment(moment: datetime | None) -> Any:
    return cast(moment, DateTime(timezone=True))


def rebuild_days(session: Session, organization_id: UUID, calendar: Calendar) -> None:
    """Make days anew from quarters and marks; no raw event is read."""
    here: dict[str, Any] = {"organization_id": organization_id}
    for part in calendar.batches(DAYS_AT_ONCE):
        _forget_days(session, organization_id, part.days)
        session.execute(COUNT_DAYS, here | part.arrays())
        rows = session.execute(ALL_VISITORS, _SCOPES | part.arrays()).all()
        _add_visitors(session, organization_id, rows)


def _forget_days(session: Session, organization_id: UUID, days: Sequence[date]) -> None:
    session.execute(
        delete(AnalyticsDay)
        .where(
            AnalyticsDay.organization_id == organization_id,
            AnalyticsDay.dimension.in_(list(Dimension)),
            AnalyticsDay.day.in_(days),
        )
        .execution_options(synchronize_session=False)
    )


def _add_visitors(session: Session, organization_id: UUID, gained: Sequence[Row[Any]]) -> None:
    if not gained:
        return
    session.execute(
        ADD_VISITORS,
        {
            "organization_id": organization_id,
            "days": [row.day for row in gained],
            "dimensions": [row.dimension for row in gained],
            "names": [row.name for row in gained],
            "members": [row.member for row in gained],
            "counts": [len(row.visitors) for row in gained],
            "sketches": [add(row.sketch, row.visitors) for row in gained],
        },
    )
