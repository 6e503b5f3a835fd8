"""Who is told of alerts: webhook endpoints and e-mail recipients."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import TypeAdapter
from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from intake.auth import Caller, allowed
from intake.body import body_of
from intake.ingest.receiver import (
    EndpointBody,
    EndpointChange,
    RecipientBody,
    RecipientChange,
    check_url,
)
from intake.lock import one_at_a_time
from intake.openapi import READ, READ_ONE, WRITE, problems
from intake.problem import ConflictError, NotFoundError
from intake.views.alert import (
    ENDPOINT_COLUMNS,
    RECIPIENT_COLUMNS,
    DeliveryDetail,
    EndpointView,
    NewEndpointView,
    RecipientView,
    find_delivery,
)
from models.alert import DeliveryEvent, EmailRecipient, WebhookEndpoint
from models.session import tenant_session
from models.user import Permission
from tasks.alert_delivery import Receiver, record_delivery
from tasks.alert_delivery import body_of as delivery_body
from tasks.signature import new_secret
from tasks.vault import Place, Vault

router = APIRouter(prefix="/api/v1", tags=["alerts"])

Manager = Annotated[Caller, Depends(allowed(Permission.MANAGE_WEBHOOKS))]

MOST_ENDPOINTS, MOST_RECIPIENTS = 10, 50
CHANGE_OVER = timedelta(hours=24)
"""A former secret signs beside the new one so long."""

_endpoint, _endpoint_extra = body_of("EndpointBody", TypeAdapter(EndpointBody))
_endpoint_change, _endpoint_change_extra = body_of("EndpointChange", TypeAdapter(EndpointChange))
_recipient, _recipient_extra = body_of("RecipientBody", TypeAdapter(RecipientBody))
_recipient_change, _recipient_change_extra = body_of("RecipientChange", TypeAdapter(RecipientChange))


@router.post(
    "/webhooks",
    status_code=201,
    responses=WRITE | problems(409),
    openapi_extra=_endpoint_extra,
    summary="Have alerts posted to an address; answers the signing secret, this once",
)
def add_endpoint(
    request: Request, response: Response, caller: Manager, body: Annotated[EndpointBody, _endpoint]
) -> NewEndpointView:
    organization_id, endpoint_id, secret = caller.tenant.organization_id, uuid7(), new_secret()
    values = {
        "organization_id": organization_id,
        "id": endpoint_id,
        "url": check_url(body.url, request.app.state.settings),
        "description": body.description,
        "conditions": [condition.value for condition in body.conditions],
        "paused": body.paused,
        "secret_encrypted": _sealed(request, organization_id, endpoint_id, secret),
    }
    with tenant_session(request.app.state.database, organization_id) as session:
        _make_room(session, organization_id, WebhookEndpoint, MOST_ENDPOINTS)
        row = session.execute(insert(WebhookEndpoint).values(**values).returning(*ENDPOINT_COLUMNS)).one()
    response.headers["Location"] = f"{router.prefix}/webhooks/{endpoint_id}"
    return NewEndpointView.from_row(row, secret=secret)


@router.get("/webhooks", responses=READ, summary="List webhook endpoints, newest first")
def endpoints(request: Request, caller: Manager) -> list[EndpointView]:
    query = select(*ENDPOINT_COLUMNS).order_by(WebhookEndpoint.id.desc())
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        return [EndpointView.model_validate(row) for row in session.execute(query)]


@router.get("/webhooks/{endpoint_id}", responses=READ_ONE, summary="One webhook endpoint")
def endpoint(request: Request, caller: Manager, endpoint_id: UUID) -> EndpointView:
    query = select(*ENDPOINT_COLUMNS).where(WebhookEndpoint.id == endpoint_id)
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        row = session.execute(query).one_or_none()
    if row is None:
        raise NotFoundError("webhook endpoint")
    return EndpointView.model_validate(row)


@router.patch(
    "/webhooks/{endpoint_id}",
    responses=WRITE | problems(404),
    openapi_extra=_endpoint_change_extra,
    summary="Change a webhook endpoint",
)
def change_endpoint(
    request: Request, caller: Manager, endpoint_id: UUID, body: Annotated[EndpointChange, _endpoint_change]
) -> EndpointView:
    values = _changes(body)
    if "url" in values:
        values["url"] = check_url(body.url, request.app.state.settings)
    return EndpointView.model_validate(_change(request, caller, WebhookEndpoint, endpoint_id, values))


@router.post(
    "/webhooks/{endpoint_id}/secret",
    responses=READ_ONE,
    summary="Change the signing secret; the former one signs too for 24 hours",
)
def change_secret(request: Request, caller: Manager, endpoint_id: UUID) -> NewEndpointView:
    organization_id, secret = caller.tenant.organization_id, new_secret()
    values = {
        "previous_secret_encrypted": WebhookEndpoint.secret_encrypted,
        "previous_until": datetime.now(UTC) + CHANGE_OVER,
        "secret_encrypted": _sealed(request, organization_id, endpoint_id, secret),
    }
    row = _change(request, caller, WebhookEndpoint, endpoint_id, values)
    return NewEndpointView.from_row(row, secret=secret)


@router.delete("/webhooks/{endpoint_id}", status_code=204, responses=READ_ONE, summary="Remove an endpoint")
def remove_endpoint(request: Request, caller: Manager, endpoint_id: UUID) -> None:
    _change(request, caller, WebhookEndpoint, endpoint_id, {"deleted_at": func.now()})


@router.post(
    "/webhooks/{endpoint_id}/test",
    status_code=202,
    responses=READ_ONE | problems(409),
    summary="Send a test; the answer is its delivery, which tells how it went",
)
def try_endpoint(request: Request, caller: Manager, endpoint_id: UUID) -> DeliveryDetail:
    return _try(request, caller, WebhookEndpoint, endpoint_id)


@router.post(
    "/alert-recipients",
    status_code=201,
    responses=WRITE | problems(409),
    openapi_extra=_recipient_extra,
    summary="Have alerts mailed to an address",
)
def add_recipient(
    request: Request, response: Response, caller: Manager, body: Annotated[RecipientBody, _recipient]
) -> RecipientView:
    organization_id = caller.tenant.organization_id
    values = {
        "organization_id": organization_id,
        "email": body.email,
        "email_norm": body.email.lower(),
        "name": body.name,
        "conditions": [condition.value for condition in body.conditions],
        "paused": body.paused,
    }
    with tenant_session(request.app.state.database, organization_id) as session:
        _make_room(session, organization_id, EmailRecipient, MOST_RECIPIENTS)
        row = session.execute(insert(EmailRecipient).values(**values).returning(*RECIPIENT_COLUMNS)).one()
    response.headers["Location"] = f"{router.prefix}/alert-recipients/{row.id}"
    return RecipientView.model_validate(row)


@router.get("/alert-recipients", responses=READ, summary="List e-mail recipients, newest first")
def recipients(request: Request, caller: Manager) -> list[RecipientView]:
    query = select(*RECIPIENT_COLUMNS).order_by(EmailRecipient.id.desc())
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        return [RecipientView.model_validate(row) for row in session.execute(query)]


@router.patch(
    "/alert-recipients/{recipient_id}",
    responses=WRITE | problems(404),
    openapi_extra=_recipient_change_extra,
    summary="Change an e-mail recipient",
)
def change_recipient(
    request: Request, caller: Manager, recipient_id: UUID, body: Annotated[RecipientChange, _recipient_change]
) -> RecipientView:
    row = _change(request, caller, EmailRecipient, recipient_id, _changes(body))
    return RecipientView.model_validate(row)


@router.delete(
    "/alert-recipients/{recipient_id}", status_code=204, responses=READ_ONE, summary="Remove a recipient"
)
def remove_recipient(request: Request, caller: Manager, recipient_id: UUID) -> None:
    _change(request, caller, EmailRecipient, recipient_id, {"deleted_at": func.now()})


@router.post(
    "/alert-recipients/{recipient_id}/test",
    status_code=202,
    responses=READ_ONE | problems(409),
    summary="Send a test; the answer is its delivery, which tells how it went",
)
def try_recipient(request: Request, caller: Manager, recipient_id: UUID) -> DeliveryDetail:
    return _try(request, caller, EmailRecipient, recipient_id)


def _changes(body: EndpointChange | RecipientChange) -> dict[str, Any]:
    """Return what was given, by column; who goes on is not paused by us any more either."""
    values = body.model_dump(exclude_unset=True)
    if "conditions" in values:
        values["conditions"] = [condition.value for condition in body.conditions]
    if values.get("paused") is False:
        values["paused_reason"] = None
    return values


def _change(
    request: Request, caller: Caller, table: type[Receiver], row_id: UUID, values: dict[str, Any]
) -> Any:
    columns = ENDPOINT_COLUMNS if table is WebhookEndpoint else RECIPIENT_COLUMNS
    statement = (
        update(table)
        .where(table.id == row_id, table.deleted_at.is_(None))
        .values(**values, updated_at=func.now())
        .returning(*columns)
        .execution_options(synchronize_session=False)
    )
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        row = session.execute(statement).one_or_none()
    if row is None:
        raise NotFoundError("receiver of alerts")
    return row


def _try(request: Request, caller: Caller, table: type[Receiver], row_id: UUID) -> DeliveryDetail:
    data = {
        "organization_id": str(caller.tenant.organization_id),
        "title": "Alerts reach you here",
        "evidence": [],
    }
    body = delivery_body(DeliveryEvent.TEST, datetime.now(UTC), data)
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        receiver = session.scalars(select(table).where(table.id == row_id)).one_or_none()
        if receiver is None:
            raise NotFoundError("receiver of alerts")
        if receiver.paused:
            raise ConflictError("paused", "It is paused; let it go on first.")
        delivery_id = record_delivery(session, receiver, DeliveryEvent.TEST, body, alert_id=None)
        found = find_delivery(session, delivery_id)
    assert found is not None
    return found


def _make_room(session: Session, organization_id: UUID, table: type[Receiver], most: int) -> None:
    one_at_a_time(session, organization_id, table.__tablename__)
    if session.scalars(select(func.count()).select_from(table)).one() >= most:
        raise ConflictError("too-many", f"There are {most} already, and no more may be; remove one first.")


def _sealed(request: Request, organization_id: UUID, endpoint_id: UUID, secret: str) -> bytes:
    vault: Vault = request.app.state.vault
    place = Place(organization_id, WebhookEndpoint.__tablename__, "secret_encrypted", endpoint_id)
    return vault.encrypt(secret, place)
