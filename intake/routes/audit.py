"""The audit log: who changed what, in which request; and whether the chain holds."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, func, select

from intake.auth import Caller, allowed
from intake.openapi import READ
from intake.paging import Cursor, CursorParameter, Limit, Page
from intake.views.base import View
from models.audit import AuditDetail, AuditEntry, AuditHead, AuditOrigin, alias_of, audit_entries
from models.session import tenant_session
from models.user import Permission

router = APIRouter(prefix="/api/v1/audit", tags=["audit"])

Auditor = Annotated[Caller, Depends(allowed(Permission.VIEW_AUDIT))]
Named = Annotated[str | None, Query(max_length=200)]
_places: Cursor[int] = Cursor(TypeAdapter(int))


class AuditView(View):
    """One change, or one deed that is no change of a row."""

    id: UUID
    position: int
    """1, 2, 3, ... in the organization's log, without a gap."""
    occurred_at: datetime
    origin: AuditOrigin
    """Who says so: the database itself, or the application."""
    actor: str | None
    """A user, `job:<id>` or `operator:<name>`; a pseudonym once the user was erased."""
    action: str
    subject: str | None
    detail: dict[str, Any]
    """Of a change: column to what it was and is."""
    request_id: str | None
    forgotten: bool
    """What it said of a person was erased."""


class ChainView(View):
    """Whether anybody tampered with the log."""

    holds: bool
    entries: int
    first_broken: int | None
    """Position of the first entry that was altered, removed or put in."""


@router.get("", responses=READ, summary="Read the audit log, newest first")
def entries(  # noqa: PLR0913 - one parameter per filter
    request: Request,
    caller: Auditor,
    *,
    actor: Named = None,
    action: Named = None,
    subject: Named = None,
    request_id: Named = None,
    since: datetime | None = None,
    until: datetime | None = None,
    cursor: CursorParameter = None,
    limit: Limit = 50,
) -> Page[AuditView]:
    before = _places.read(cursor)
    wanted: list[ColumnElement[bool] | None] = [
        None if actor is None else AuditEntry.actor == alias_of(actor),
        None if action is None else AuditEntry.action == action,
        None if subject is None else AuditEntry.subject == alias_of(subject),
        None if request_id is None else AuditDetail.request_id == request_id,
        None if since is None else AuditEntry.occurred_at >= since,
        None if until is None else AuditEntry.occurred_at < until,
        None if before is None else AuditEntry.position < before,
    ]
    query = audit_entries().where(*(condition for condition in wanted if condition is not None))
    query = query.order_by(AuditEntry.position.desc()).limit(limit + 1)
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        rows = session.execute(query).all()
    shown, following = _places.page(rows, limit, lambda row: row.position)
    return Page(items=[AuditView.model_validate(row) for row in shown], next_cursor=following)


@router.get("/verification", responses=READ, summary="Check the whole log against its own hashes")
def verify(request: Request, caller: Auditor) -> ChainView:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        broken = session.scalar(select(func.app.first_broken_audit()))
        length = session.scalar(select(AuditHead.position)) or 0
    return ChainView(holds=broken is None, entries=length, first_broken=broken)
