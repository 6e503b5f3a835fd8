"""Leads: import, events, list by score; change, remove, restore."""

from collections.abc import Sequence
from tempfile import SpooledTemporaryFile
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import TypeAdapter
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from intake.auth import AnyCaller, Caller, allowed
from intake.body import body_of
from intake.ingest.fields import MOST_ATTRIBUTES, Short
from intake.ingest.lead import (
    IMPORTING,
    LeadEdit,
    LeadEventImport,
    LeadImport,
    import_leads,
    mark_changed,
    record_events,
    write_leads,
)
from intake.ingest.lead_file import FileFormat, LeadFile
from intake.lock import one_at_a_time
from intake.openapi import READ, WRITE
from intake.paging import Cursor, CursorParameter, Limit, Page
from intake.resource.declaration import Resource, Rules, Values
from intake.resource.repository import Repository
from intake.resource.router import routes_of
from intake.views.base import View
from intake.views.lead import LeadSummary, LeadView, Place, list_leads
from intake.views.lead_file import lead_lines
from models.lead import Lead, LeadStatus
from models.session import Database, tenant_session
from models.user import Permission

router = APIRouter(prefix="/api/v1/leads", tags=["leads"])

Manager = Annotated[Caller, Depends(allowed(Permission.MANAGE_LEADS))]

_leads, _leads_extra = body_of("LeadImport", TypeAdapter(LeadImport), items="leads")
_events, _events_extra = body_of("LeadEventImport", TypeAdapter(LeadEventImport), items="events")
_file_extra = {"requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}}}

IN_MEMORY = 1024 * 1024
"""A larger file goes to disk while it comes in."""

LEADS_PER_STATEMENT = 2_000

_places: Cursor[Place] = Cursor(TypeAdapter(Place))


class Imported(View):
    created: int
    updated: int


class ImportedFile(Imported):
    columns: dict[str, str]
    """What became of each column: a field of the lead, `attribute` or `ignored`."""


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


@router.post(
    "/import.csv",
    responses=WRITE,
    openapi_extra=_file_extra,
    summary="Create or update leads from a CSV file: all of it or nothing",
)
async def import_file(
    request: Request, caller: Manager, columns: Annotated[FileFormat, Query()]
) -> ImportedFile:
    with SpooledTemporaryFile(max_size=IN_MEMORY) as file:
        async for chunk in request.stream():
            file.write(chunk)
        file.seek(0)
        return await run_in_threadpool(_import_file, request.app.state.database, caller, file, columns)


def _import_file(
    database: Database, caller: Caller, file: SpooledTemporaryFile[bytes], columns: FileFormat
) -> ImportedFile:
    organization_id = caller.tenant.organization_id
    leads = LeadFile(file, columns)
    created = updated = 0
    with tenant_session(database, organization_id) as session:
        one_at_a_time(session, organization_id, IMPORTING)
        for batch in leads.batches(LEADS_PER_STATEMENT):
            imported = write_leads(session, organization_id, batch)
            created, updated = created + imported.created, updated + imported.updated
    return ImportedFile(created=created, updated=updated, columns=leads.columns)


@router.get(
    "/export.csv",
    responses=READ,
    response_class=StreamingResponse,
    summary="Every lead as a CSV file that the import reads back",
)
def export(
    request: Request,
    caller: Manager,
    *,
    status: LeadStatus | None = None,
    bucket: Literal["hot", "warm", "cold"] | None = None,
    attribute: Annotated[
        list[Short] | None,
        Query(max_length=MOST_ATTRIBUTES, description="Each gets a column; else all share one, as JSON."),
    ] = None,
) -> StreamingResponse:
    lines = lead_lines(
        request.app.state.database,
        caller.tenant.organization_id,
        status=status,
        bucket=bucket,
        attributes=attribute or (),
        actor=caller.user_id,
    )
    headers = {"Content-Disposition": 'attachment; filename="leads.csv"', "Cache-Control": "no-store"}
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)


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


class _LeadRules(Rules):
    def before(self, repository: Repository, item_ids: Sequence[UUID]) -> None:
        """Mark those that there are to be scored again, as imports do: before they are touched."""
        query = select(Lead.id).where(Lead.id.in_(item_ids)).execution_options(include_deleted=True)
        known = repository.session.scalars(query).all()
        mark_changed(repository.session, repository.caller.tenant.organization_id, known)

    def changed(self, repository: Repository, row: LeadView, values: Values) -> Values:  # noqa: ARG002 - as declared
        """Keep the address by which it is found in step."""
        if "email" in values:
            values["email_norm"] = values["email"] and values["email"].lower()
        return values


LEADS = Resource(
    name="lead",
    path="/leads",
    table=Lead,
    view=LeadView,
    change=LeadEdit,  # they are made by imports
    manage=Permission.MANAGE_LEADS,
    bulk=True,
    sorts=(),  # the list above is by score
    rules=_LeadRules(),
)

leads_by_id = routes_of(LEADS)
