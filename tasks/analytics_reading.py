"""Read analytics by quarter, day, week or month in the organization's own zone, exact to the last event."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Date, DateTime, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from models.analytics import Dimension
from tasks.analytics_calendar import Grain, Span
from tasks.analytics_sketch import Union

READ_DAYS = text("""
    SELECT * FROM app.read_days(
        :zone, :days, :begins, :ends, :dimension, :naming, cast(:only_name AS text), :counts_visitors)
""").bindparams(
    bindparam("days", type_=ARRAY(Date)),
    bindparam("begins", type_=ARRAY(DateTime(timezone=True))),
    bindparam("ends", type_=ARRAY(DateTime(timezone=True))),
    bindparam("dimension", type_=Text),
)
READ_QUARTERS = text("""
    SELECT * FROM app.read_quarters(
        :begins, :ends, :dimension, :naming, cast(:only_name AS text), :counts_visitors)
""").bindparams(bindparam("dimension", type_=Text))


@dataclass(frozen=True, slots=True)
class Slice:
    """Which events are counted, and what they are told apart by."""

    dimension: Dimension = Dimension.TOTAL
    by_name: bool = False
    """Tell them apart by name as well."""
    name: str | None = None
    """Only events of this name."""

    @property
    def naming(self) -> bool:
        """Whether what is kept by name answers."""
        return self.by_name or self.name is not None


BY_NAME = Slice(by_name=True)


@dataclass(frozen=True, slots=True)
class Totals:
    """What happened in one period, by event name."""

    period: date
    """Its first day in the organization's zone."""
    name: str
    events: int
    value_sum: float
    visitors: int
    """Distinct visitors of the period: exact for a day, a sketch's estimate for longer ones."""
    member: str = ""
    """Campaign, channel or post, where events are told apart by one."""


@dataclass(frozen=True, slots=True)
class QuarterTotals:
    """What happened in one quarter of an hour."""

    period: datetime
    name: str
    events: int
    value_sum: float
    visitors: int
    member: str = ""


@dataclass(slots=True)
class Sum:
    """Adds up days; visitors of several days are united, never added."""

    events: int = 0
    value_sum: float = 0.0
    days: set[date] = field(default_factory=set)
    exact: int = 0
    union: Union | None = None

    def add(self, row: Any) -> None:
        """Take in a row of ``app.read_days``."""
        self.days.add(row.day)
        self.events += row.events
        self.value_sum += row.value_sum
        self.exact += row.visitors
        if row.sketch is None and not row.seen:
            return
        self.union = self.union or Union()
        if row.sketch is not None:
            self.union.sketch(row.sketch)
        if row.seen:
            self.union.visitors(row.seen)

    @property
    def visitors(self) -> int:
        """Distinct visitors: exact within one day."""
        if self.union is None or len(self.days) == 1:
            return self.exact
        return self.union.count()


Key = tuple[date, str, str]
"""First day of a period, name and member."""


def read_days(session: Session, span: Span, chosen: Slice, *, visitors: bool = True) -> list[Any]:
    """Return what each day of the span has, in pieces to add up: rolled up, and not yet.

    Everything is read in one statement, hence one snapshot: what is rolled up and the events that no rollup
    counts yet leave nothing out and count nothing twice, whatever a pass commits meanwhile.
    """
    parameters = {
        "zone": span.time_zone,
        "dimension": chosen.dimension.value,
        "naming": chosen.naming,
        "only_name": chosen.name,
        "counts_visitors": visitors,
    }
    return list(session.execute(READ_DAYS, span.calendar().arrays() | parameters))


def add_up(rows: list[Any], grain: Grain) -> dict[Key, Sum]:
    """Return the sums of each period, name and member."""
    sums: dict[Key, Sum] = defaultdict(Sum)
    for row in rows:
        sums[grain.period_of(row.day), row.name, row.member].add(row)
    return sums


def totals(
    session: Session,
    organization_id: UUID,  # noqa: ARG001 - the session is bound to it already
    span: Span,
    *,
    grain: Grain = Grain.DAY,
    chosen: Slice = BY_NAME,
) -> list[Totals]:
    """Return the totals of each period that has events within the span, in order of period and name."""
    sums = add_up(read_days(session, span, chosen), grain)
    return [
        Totals(period, name, one.events, one.value_sum, one.visitors, member)
        for (period, name, member), one in sorted(sums.items())
    ]


def quarter_totals(
    session: Session, span: Span, *, chosen: Slice = BY_NAME, visitors: bool = True
) -> list[QuarterTotals]:
    """Return the totals of each quarter of an hour that has events, in order of moment and name."""
    begins, ends = span.moments()
    parameters = {
        "begins": begins,
        "ends": ends,
        "dimension": chosen.dimension.value,
        "naming": chosen.naming,
        "only_name": chosen.name,
        "counts_visitors": visitors,
    }
    return [
        QuarterTotals(row.starts_at, row.name, row.events, row.value_sum, row.visitors, row.member)
        for row in session.execute(READ_QUARTERS, parameters)
    ]


def unique_visitors(
    session: Session,
    organization_id: UUID,  # noqa: ARG001 - the session is bound to it already
    span: Span,
) -> int:
    """Return how many distinct visitors the span had, over all names: exact for a day, else estimated."""
    whole = Sum()
    for row in read_days(session, span, Slice()):
        whole.add(row)
    return whole.visitors
