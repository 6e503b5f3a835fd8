"""Analytics: send events, read rollups."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Query, Request
from pydantic import TypeAdapter

from intake.auth import AnyCaller, Caller, allowed
from intake.body import body_of
from intake.ingest.event import EventBatch, record_events
from intake.openapi import READ, WRITE
from intake.problem import FieldError, InvalidRequestError
from intake.views.analytics import RollupGrain, RollupView, read_rollup
from intake.views.base import View
from models.session import tenant_session
from models.user import Permission
from tasks.analytics_reading import Span

router = APIRouter(prefix="/api/v1/analytics", tags=["analytics"])

Viewer = Annotated[Caller, Depends(allowed(Permission.VIEW_ANALYTICS))]

_events, _events_extra = body_of("EventBatch", TypeAdapter(EventBatch), items="events")

USUAL_SPAN = timedelta(days=30)
LONGEST_SPAN = {
    RollupGrain.QUARTER: timedelta(days=31),
    RollupGrain.DAY: timedelta(days=366),
    RollupGrain.WEEK: timedelta(days=3 * 366),
    RollupGrain.MONTH: timedelta(days=10 * 366),
}


class Received(View):
    recorded: int
    duplicates: int
    """Events whose key was known."""


@router.post("/events", responses=WRITE, openapi_extra=_events_extra, summary="Send up to 10,000 events")
def send(request: Request, caller: AnyCaller, events: Annotated[EventBatch, _events]) -> Received:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        return Received.model_validate(record_events(session, caller.tenant.organization_id, events))


@router.get("/rollup", responses=READ, summary="Totals by period and event name")
def rollup(
    request: Request,
    caller: Viewer,
    *,
    grain: RollupGrain = RollupGrain.DAY,
    first: Annotated[date | None, Query(description="Default: 30 days before `last`.")] = None,
    last: Annotated[
        date | None, Query(description="Inclusive. Default: today, where the organization is.")
    ] = None,
) -> RollupView:
    span = _span(caller.tenant.time_zone, first, last, grain)
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        items = read_rollup(session, caller.tenant.organization_id, span, grain)
    return RollupView(grain=grain, first=span.first, last=span.last, time_zone=span.time_zone, items=items)


def _span(time_zone: str, first: date | None, last: date | None, grain: RollupGrain) -> Span:
    last = last or datetime.now(UTC).astimezone(ZoneInfo(time_zone)).date()
    longest = LONGEST_SPAN[grain]
    try:
        first = first or last - USUAL_SPAN
        Span(first, last, time_zone).moments()
    except OverflowError:
        raise InvalidRequestError([FieldError(field="last", message="is beyond any calendar")]) from None
    if first > last:
        raise InvalidRequestError([FieldError(field="first", message="must not be after last")])
    if last - first > longest:
        message = f"must be within {longest.days} days of last for grain {grain.value}"
        raise InvalidRequestError([FieldError(field="first", message=message)])
    return Span(first, last, time_zone)
