"""Analytics: send events, read rollups."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Query, Request
from pydantic import TypeAdapter
from sqlalchemy.orm import Session

from config.plans import PLANS
from intake.auth import Caller, allowed
from intake.body import body_of
from intake.ingest.clock import check_times, put_right
from intake.ingest.event import EventBatch, PlainEvent, record_events
from intake.openapi import READ, WRITE
from intake.problem import FieldError, InvalidRequestError
from intake.remembered import answers_changed
from intake.views.analytics import RollupGrain, RollupView, read_rollup
from intake.views.base import View
from models.session import tenant_session
from models.user import Permission
from tasks.analytics_calendar import Span
from tasks.analytics_counting import raw_from
from tasks.analytics_query import ADVANCED, BASIC_SPAN, LONGEST_SPAN
from worker.refusal import FeatureNotInPlanError

router = APIRouter(prefix="/api/v1/analytics", tags=["analytics"])

Viewer = Annotated[Caller, Depends(allowed(Permission.VIEW_ANALYTICS))]
Sender = Annotated[Caller, Depends(allowed(Permission.SEND_EVENTS))]

_events, _events_extra = body_of("EventBatch", TypeAdapter(EventBatch), items="events")

USUAL_SPAN = timedelta(days=30)
ALWAYS_KEPT = timedelta(days=min(plan.event_days for plan in PLANS.values()))
"""Younger raw events are there, whatever plan the organization had before."""


class Received(View):
    recorded: int
    duplicates: int
    """Events whose key was known."""


@router.post("/events", responses=WRITE, openapi_extra=_events_extra, summary="Send up to 10,000 events")
def send(request: Request, caller: Sender, events: Annotated[EventBatch, _events]) -> Received:
    now = datetime.now(UTC)
    batch = put_right(events, now)
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        refuse_bad_times(session, caller, list(enumerate(batch.events)), now=now)
        received = record_events(session, caller.tenant.organization_id, batch)
    answers_changed(request, caller)
    return Received.model_validate(received)


def refuse_bad_times(
    session: Session,
    caller: Caller,
    events: list[tuple[int, PlainEvent]],
    *,
    now: datetime,
    field: str = "occurred_at",
) -> None:
    """Refuse events whose moment no rollup of the caller's may count."""
    oldest = min((event.occurred_at for _, event in events), default=now)
    gone = raw_from(session, caller.tenant.organization_id) if oldest < now - ALWAYS_KEPT else None
    check_times(events, now=now, terms=caller.tenant.terms, raw_from=gone, field=field)


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
    span = _span(caller, first, last, grain)
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        items = read_rollup(session, caller.tenant.organization_id, span, grain)
    return RollupView(grain=grain, first=span.first, last=span.last, time_zone=span.time_zone, items=items)


def _span(caller: Caller, first: date | None, last: date | None, grain: RollupGrain) -> Span:
    time_zone = caller.tenant.time_zone
    last = last or today(time_zone)
    longest = LONGEST_SPAN[grain]
    try:
        first = first or last - min(USUAL_SPAN, timedelta(days=BASIC_SPAN[grain] - 1))
        Span(first, last, time_zone).moments()
    except OverflowError:
        raise InvalidRequestError([FieldError(field="last", message="is beyond any calendar")]) from None
    if first > last:
        raise InvalidRequestError([FieldError(field="first", message="must not be after last")])
    days = (last - first).days + 1
    if days > longest:
        message = f"must be within {longest} days of last for grain {grain.value}"
        raise InvalidRequestError([FieldError(field="first", message=message)])
    if days > BASIC_SPAN[grain] and not caller.tenant.terms.offers(ADVANCED):
        raise FeatureNotInPlanError(ADVANCED, caller.tenant.plan)
    return Span(first, last, time_zone)


def today(time_zone: str) -> date:
    """Return what day it is where the organization is."""
    return datetime.now(UTC).astimezone(ZoneInfo(time_zone)).date()
