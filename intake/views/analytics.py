"""What a tenant sees of its analytics."""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy.orm import Session

from intake.views.base import View
from tasks.analytics_calendar import Grain, Span
from tasks.analytics_reading import quarter_totals, totals


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
    """Distinct visitors of the period, never the sum of shorter ones: exact up to a day, beyond estimated."""


class RollupView(View):
    """TotalsView of the periods that have events, in order of period and name."""

    grain: RollupGrain
    first: date
    last: date
    time_zone: str
    items: list[TotalsView]


class PointView(View):
    """One period of one member of the breakdown."""

    period: date | datetime
    """The first day, in the organization's zone; for 15m, the moment it begins."""
    member: str | None
    """Of the breakdown: an event's name, a campaign's or post's id, a channel. Null without a breakdown."""
    value: int | float
    previous: int | float | None
    """The same place in the range before; null unless compared."""
    change: float | None
    """0.25 is a quarter more than before; null where there was nothing before."""


class AnswerView(View):
    """One metric by period. Events without a campaign, channel or post count in `total` only."""

    metric: str
    grain: RollupGrain
    breakdown: str | None
    first: date
    """Of the first period; weeks and months are whole ones."""
    last: date
    time_zone: str
    estimated: bool
    """Distinct visitors of weeks, months and whole ranges are estimated: within 3.3 % in 95 of 100 cases."""
    total: PointView
    """Of the whole range; visitors once, on however many days they came."""
    items: list[PointView]
    omitted: int
    """Members of the breakdown beyond `limit`."""


class CorrectedView(View):
    """What came of corrections."""

    replaced: int
    removed: int
    unknown: list[str]
    """Keys that never came, or whose events are erased or not kept any more."""


class ErasedView(View):
    """What an erasure removed."""

    events: int
    """Events that bore the visitors' names."""
    quarters: int
    """Quarters of an hour that were counted again."""


def read_rollup(session: Session, organization_id: UUID, span: Span, grain: RollupGrain) -> list[TotalsView]:
    """Return the totals of the span, to the last event."""
    if grain is RollupGrain.QUARTER:
        return [TotalsView.model_validate(one) for one in quarter_totals(session, span)]
    return [
        TotalsView.model_validate(one)
        for one in totals(session, organization_id, span, grain=Grain(grain.value))
    ]
