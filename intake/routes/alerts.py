"""Alerts, and the log of their deliveries."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import TypeAdapter
from sqlalchemy import select

from intake.auth import Caller, allowed
from intake.openapi import READ, READ_ONE
from intake.paging import Cursor, CursorParameter, Limit, Page
from intake.problem import NotFoundError
from intake.views.alert import (
    ALERT_COLUMNS,
    AlertView,
    DeliveryDetail,
    DeliveryView,
    find_delivery,
    list_alerts,
    list_deliveries,
)
from models.alert import Alert, AlertCondition, DeliveryState
from models.session import tenant_session
from models.user import Permission

router = APIRouter(prefix="/api/v1/alerts", tags=["alerts"])

Viewer = Annotated[Caller, Depends(allowed(Permission.VIEW_JOBS))]
_places = Cursor(TypeAdapter(UUID))


@router.get("", responses=READ, summary="List alerts, newest first")
def alerts(  # noqa: PLR0913 - one parameter per filter
    request: Request,
    caller: Viewer,
    *,
    condition: AlertCondition | None = None,
    holding: Annotated[bool | None, Query(alias="open", description="Whether the condition holds.")] = None,
    cursor: CursorParameter = None,
    limit: Limit = 50,
) -> Page[AlertView]:
    before = _places.read(cursor)
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        rows = list_alerts(session, condition=condition, open_only=holding, before=before, limit=limit + 1)
    shown, following = _places.page(rows, limit, lambda row: row.id)
    return Page(items=[AlertView.model_validate(row) for row in shown], next_cursor=following)


@router.get("/deliveries", responses=READ, summary="List deliveries, newest first")
def deliveries(  # noqa: PLR0913 - one parameter per filter
    request: Request,
    caller: Viewer,
    *,
    state: DeliveryState | None = None,
    alert_id: UUID | None = None,
    receiver_id: Annotated[UUID | None, Query(description="A webhook endpoint or e-mail recipient.")] = None,
    cursor: CursorParameter = None,
    limit: Limit = 50,
) -> Page[DeliveryView]:
    before = _places.read(cursor)
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        rows = list_deliveries(
            session,
            state=state,
            alert_id=alert_id,
            receiver_id=receiver_id,
            before=before,
            limit=limit + 1,
        )
    shown, following = _places.page(rows, limit, lambda row: row.id)
    return Page(items=[DeliveryView.model_validate(row) for row in shown], next_cursor=following)


@router.get("/deliveries/{delivery_id}", responses=READ_ONE, summary="One delivery with its attempts")
def delivery(request: Request, caller: Viewer, delivery_id: UUID) -> DeliveryDetail:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        found = find_delivery(session, delivery_id)
    if found is None:
        raise NotFoundError("delivery")
    return found


@router.get("/{alert_id}", responses=READ_ONE, summary="One alert")
def alert(request: Request, caller: Viewer, alert_id: UUID) -> AlertView:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        row = session.execute(select(*ALERT_COLUMNS).where(Alert.id == alert_id)).one_or_none()
    if row is None:
        raise NotFoundError("alert")
    return AlertView.model_validate(row)
