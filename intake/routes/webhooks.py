"""Who is told of alerts: webhook endpoints and e-mail recipients."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import TypeAdapter
from sqlalchemy import func, select
from uuid_utils.compat import uuid7

from intake.auth import Caller, allowed
from intake.body import body_of
from intake.ingest.receiver import EndpointBody, EndpointChange, RecipientBody, RecipientChange
from intake.openapi import READ_ONE, WRITE, problems
from intake.problem import ConflictError
from intake.resource.declaration import Resource, Rules, Values, equals
from intake.resource.repository import Repository, open_repository
from intake.resource.router import routes_of
from intake.routes.alerts import DELIVERIES
from intake.views.alert import DeliveryDetail, EndpointView, NewEndpointView, RecipientView
from models.alert import DeliveryEvent, EmailRecipient, WebhookEndpoint
from models.user import Permission
from tasks.alert_delivery import Receiver, record_delivery
from tasks.alert_delivery import body_of as delivery_body
from tasks.signature import new_secret
from tasks.vault import Place, Vault

Manager = Annotated[Caller, Depends(allowed(Permission.MANAGE_WEBHOOKS))]

CHANGE_OVER = timedelta(hours=24)
"""A former secret signs beside the new one so long."""


class _Rules(Rules):
    """There is room for so many; who goes on is not paused by us any more either."""

    def __init__(self, table: type[Receiver], most: int) -> None:
        self._table = table
        self._most = most

    def made(self, repository: Repository, values: Values) -> Values:
        self._make_room(repository)
        return values

    def changed(self, repository: Repository, row: Any, values: Values) -> Values:  # noqa: ARG002 - as the base has it
        return values | ({"paused_reason": None} if values.get("paused") is False else {})

    def restored(self, repository: Repository, row: Any) -> Values:  # noqa: ARG002 - as above
        self._make_room(repository)
        return {}

    def _make_room(self, repository: Repository) -> None:
        if repository.session.scalars(select(func.count()).select_from(self._table)).one() >= self._most:
            raise ConflictError(
                "too-many", f"There are {self._most} already, and no more may be; remove one first."
            )


class _RecipientRules(_Rules):
    def made(self, repository: Repository, values: Values) -> Values:
        return super().made(repository, values) | {"email_norm": values["email"].lower()}


ENDPOINTS = Resource(
    name="webhook endpoint",
    path="/webhooks",
    table=WebhookEndpoint,
    view=EndpointView,
    change=EndpointChange,  # one is made below: its secret is answered
    manage=Permission.MANAGE_WEBHOOKS,
    read=Permission.MANAGE_WEBHOOKS,
    filters={"paused": equals(WebhookEndpoint.paused, bool)},
    in_turn=True,
    rules=_Rules(WebhookEndpoint, 10),
)
RECIPIENTS = Resource(
    name="alert recipient",
    path="/alert-recipients",
    table=EmailRecipient,
    view=RecipientView,
    create=RecipientBody,
    change=RecipientChange,
    manage=Permission.MANAGE_WEBHOOKS,
    read=Permission.MANAGE_WEBHOOKS,
    filters={"paused": equals(EmailRecipient.paused, bool), "email": equals(EmailRecipient.email_norm)},
    in_turn=True,
    rules=_RecipientRules(EmailRecipient, 50),
)

router = APIRouter(tags=["alerts"])
WEBHOOKS, MAIL = "/api/v1/webhooks", "/api/v1/alert-recipients"
_endpoint, _endpoint_extra = body_of("EndpointBody", TypeAdapter(EndpointBody))


@router.post(
    WEBHOOKS,
    status_code=201,
    responses=WRITE | problems(409),
    openapi_extra=_endpoint_extra,
    summary="Have alerts posted to an address; answers the signing secret, this once",
)
def add_endpoint(
    request: Request, response: Response, caller: Manager, body: Annotated[EndpointBody, _endpoint]
) -> NewEndpointView:
    endpoint_id, secret = uuid7(), new_secret()
    beside = {"id": endpoint_id, "secret_encrypted": _sealed(request, caller, endpoint_id, secret)}
    with open_repository(request, caller, ENDPOINTS) as repository:
        made = repository.create(body, beside)
    response.headers["Location"] = f"{WEBHOOKS}/{endpoint_id}"
    return NewEndpointView(**made.model_dump(), secret=secret)


@router.post(
    WEBHOOKS + "/{item_id}/secret",
    responses=READ_ONE,
    summary="Change the signing secret; the former one signs too for 24 hours",
)
def change_secret(request: Request, caller: Manager, item_id: UUID) -> NewEndpointView:
    secret = new_secret()
    values = {
        "previous_secret_encrypted": WebhookEndpoint.secret_encrypted,
        "previous_until": datetime.now(UTC) + CHANGE_OVER,
        "secret_encrypted": _sealed(request, caller, item_id, secret),
    }
    with open_repository(request, caller, ENDPOINTS) as repository:
        repository.hold(item_id)
        changed = repository.write(item_id, values)
    return NewEndpointView(**changed.model_dump(), secret=secret)


@router.post(
    WEBHOOKS + "/{item_id}/test",
    status_code=202,
    responses=READ_ONE | problems(409),
    summary="Send a test; the answer is its delivery, which tells how it went",
)
def try_endpoint(request: Request, caller: Manager, item_id: UUID) -> DeliveryDetail:
    return _try(request, caller, ENDPOINTS, item_id)


@router.post(
    MAIL + "/{item_id}/test",
    status_code=202,
    responses=READ_ONE | problems(409),
    summary="Send a test; the answer is its delivery, which tells how it went",
)
def try_recipient(request: Request, caller: Manager, item_id: UUID) -> DeliveryDetail:
    return _try(request, caller, RECIPIENTS, item_id)


router.include_router(routes_of(ENDPOINTS))
router.include_router(routes_of(RECIPIENTS))


def _try(request: Request, caller: Caller, resource: Resource, item_id: UUID) -> DeliveryDetail:
    data = {
        "organization_id": str(caller.tenant.organization_id),
        "title": "Alerts reach you here",
        "evidence": [],
    }
    body = delivery_body(DeliveryEvent.TEST, datetime.now(UTC), data)
    with open_repository(request, caller, resource) as repository:
        shown: Any = repository.hold(item_id)
        if shown.paused:
            raise ConflictError("paused", "It is paused; let it go on first.")
        table: Any = resource.table
        receiver = repository.session.scalars(select(table).where(table.id == item_id)).one()
        delivery_id = record_delivery(repository.session, receiver, DeliveryEvent.TEST, body, alert_id=None)
        delivery = Repository(repository.session, caller, DELIVERIES).find(delivery_id)
    return DeliveryDetail.model_validate(delivery)


def _sealed(request: Request, caller: Caller, endpoint_id: UUID, secret: str) -> bytes:
    vault: Vault = request.app.state.vault
    place = Place(
        caller.tenant.organization_id, WebhookEndpoint.__tablename__, "secret_encrypted", endpoint_id
    )
    return vault.encrypt(secret, place)
