"""Leads: import, events, list by score."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import TypeAdapter

from intake.auth import AnyCaller, Caller, allowed
from intake.body import body_of
from intake.ingest.lead import LeadEventImport, LeadImport, import_leads, record_events
from intake.openapi import READ, READ_ONE, WRITE
from intake.paging import Cursor, CursorParameter, Limit, Page
from intake.problem import NotFoundError
from intake.views.base import View
from intake.views.lead import LeadSummary, LeadView, Place, find_lead, list_leads
from models.session import tenant_session
from models.user import Permission

router = APIRouter(prefix="/api/v1/leads", tags=["leads"])

Manager = Annotated[Caller, Depends(allowed(Permission.MANAGE_LEADS))]

_leads, _leads_extra = body_of("LeadImport", TypeAdapter(LeadImport), items="leads")
_events, _events_extra = body_of("LeadEventImport", TypeAdapter(LeadEventImport), items="events")
_places: Cursor[Place] = Cursor(TypeAdapter(Place))


class Imported(View):
    created: int
    updated: int


class Recorded(View):
    recorded: int
    duplicates: int
    """Events whose external_id was known."""
    unknown: int
    """Events of leads that do not exist; import the leads first."""


@router.post(
    "/import", responses=WRITE, openapi_extra=_leads_extra, summary="Create or update up to 5,000 leads"
)
def import_(request: Request, caller: Manager, leads: Annotated[LeadImport, _leads]) -> Imported:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        return Imported.model_validate(import_leads(session, caller.tenant.organization_id, leads))


@router.post("/events", responses=WRITE, openapi_extra=_events_extra, summary="Record what leads did")
def record(request: Request, caller: Manager, events: Annotated[LeadEventImport, _events]) -> Recorded:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        return Recorded.model_validate(record_events(session, caller.tenant.organization_id, events))


@router.get("", responses=READ, summary="List leads, the highest score first")
def leads(
    request: Request,
    caller: AnyCaller,
    *,
    min_score: Annotated[float | None, Query(ge=0, le=100)] = None,
    cursor: CursorParameter = None,
    limit: Limit = 50,
) -> Page[LeadSummary]:
    after = _places.read(cursor)
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        rows = list_leads(session, least_score=min_score, after=after, limit=limit + 1)
    shown, following = _places.page(rows, limit, lambda row: (row.score, row.created_at, row.id))
    return Page(items=[LeadSummary.model_validate(row) for row in shown], next_cursor=following)


@router.get("/{lead_id}", responses=READ_ONE, summary="One lead")
def lead(request: Request, caller: AnyCaller, lead_id: UUID) -> LeadView:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        row = find_lead(session, lead_id)
    if row is None:
        raise NotFoundError("lead")
    return LeadView.model_validate(row)
