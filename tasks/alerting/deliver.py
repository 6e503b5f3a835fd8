"""The body of `system.deliver_alert`: one delivery, one receiver, as many attempts as it takes."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, NoReturn
from uuid import UUID

import orjson
from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from config.settings import get_settings
from models.alert import AlertDelivery, DeliveryAttempt, DeliveryState, EmailRecipient, WebhookEndpoint
from tasks.alert_delivery import Receiver
from tasks.alerting import mail, webhook
from tasks.alerting.outcome import DeliveryError, RefusedError
from tasks.catalog import DELIVER_ALERT
from tasks.report_payloads import DeliverAlert
from tasks.signature import signed_headers
from tasks.vault import Place, get_vault
from worker.context import Claim, Completion, JobError, OutsideJob, PermanentJobError
from worker.job import runs

PREVIOUS = "previous_secret_encrypted"
CURRENT = "secret_encrypted"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is to be delivered, and the call that does it."""

    id: UUID
    endpoint_id: UUID | None
    call: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A delivery under way since a moment of the monotonic clock."""

    delivery: Delivery
    begun: float


@runs(DELIVER_ALERT)
def deliver(job: OutsideJob, payload: DeliverAlert) -> Completion:
    """Deliver once more than needed rather than not at all: the id lets a receiver drop what it has."""
    with job.transaction() as session:
        delivery = _prepare(session, payload.delivery_id)
    if delivery is None:
        return Completion({"delivered": False, "reason": "it has ended, or its receiver is gone"})
    job.check()
    attempt = Attempt(delivery, time.monotonic())
    try:
        status = delivery.call()
    except DeliveryError as error:
        _fail(job, attempt, error)
    with job.transaction() as session:
        _log(session, job.claim, attempt, status=status)
        _end(session, delivery.id, DeliveryState.DELIVERED)
    return Completion({"delivered": True, "status": status})


def _prepare(session: Session, delivery_id: UUID) -> Delivery | None:
    """Return what to do; None when there is nothing left to do."""
    row = session.scalars(
        select(AlertDelivery).where(AlertDelivery.id == delivery_id, AlertDelivery.ended_at.is_(None))
    ).one_or_none()
    if row is None:
        return None
    receiver: Receiver | None
    if row.endpoint_id is not None:
        receiver = session.get(WebhookEndpoint, (row.organization_id, row.endpoint_id))
    else:
        receiver = session.get(EmailRecipient, (row.organization_id, row.recipient_id))
    if receiver is None or receiver.deleted_at is not None or receiver.paused:
        _end(session, delivery_id, DeliveryState.CANCELLED, error="its receiver was removed or paused")
        return None
    if isinstance(receiver, WebhookEndpoint):
        call = partial(_post, receiver.url, delivery_id, row.body.encode(), _secrets(receiver))
    else:
        call = partial(_mail, delivery_id, receiver.email, orjson.loads(row.body))
    return Delivery(delivery_id, row.endpoint_id, call)


def _secrets(endpoint: WebhookEndpoint) -> list[str]:
    sealed = {CURRENT: endpoint.secret_encrypted}
    until = endpoint.previous_until
    if endpoint.previous_secret_encrypted is not None and until is not None and until > datetime.now(UTC):
        sealed[PREVIOUS] = endpoint.previous_secret_encrypted
    table = WebhookEndpoint.__tablename__
    # A former secret was sealed for the column of the current one, and moved.
    place = Place(endpoint.organization_id, table, CURRENT, endpoint.id)
    return [get_vault().decrypt(secret, place) for secret in sealed.values()]


def _post(url: str, delivery_id: UUID, body: bytes, secrets: list[str]) -> int:
    headers = signed_headers(delivery_id, datetime.now(UTC), body, secrets)
    return webhook.post(url, headers, body, private_too=get_settings().webhooks_to_private_addresses)


def _mail(delivery_id: UUID, address: str, content: Mapping[str, Any]) -> int:
    settings = get_settings()
    return mail.send(settings, mail.compose(settings, delivery_id, address, content))


def _fail(job: OutsideJob, attempt: Attempt, error: DeliveryError) -> NoReturn:
    """Log the attempt, and give up visibly when it was the last or none can succeed."""
    delivery, last = attempt.delivery, job.claim.attempt >= job.claim.max_attempts
    with job.transaction() as session:
        _log(session, job.claim, attempt, status=error.status, error=error.detail)
        if last or isinstance(error, RefusedError):
            _end(session, delivery.id, DeliveryState.FAILED, error=error.detail)
        else:
            _write(session, delivery.id, error=error.detail)
        if error.status == webhook.GONE and delivery.endpoint_id is not None:
            _pause(session, delivery.endpoint_id, error.detail)
    if isinstance(error, RefusedError):
        raise PermanentJobError(error.detail) from error
    raise JobError(error.detail) from error


def _log(
    session: Session, claim: Claim, attempt: Attempt, *, status: int | None, error: str | None = None
) -> None:
    session.execute(
        insert(DeliveryAttempt).values(
            organization_id=claim.organization_id,
            delivery_id=attempt.delivery.id,
            attempt=claim.attempt,
            status=status,
            error=error,
            milliseconds=round((time.monotonic() - attempt.begun) * 1000),
        )
    )


def _end(session: Session, delivery_id: UUID, state: DeliveryState, *, error: str | None = None) -> None:
    _write(session, delivery_id, state=state.value, error=error, ended_at=func.now())


def _write(session: Session, delivery_id: UUID, **values: Any) -> None:
    session.execute(
        update(AlertDelivery)
        .where(AlertDelivery.id == delivery_id)
        .values(**values)
        .execution_options(synchronize_session=False)
    )


def _pause(session: Session, endpoint_id: UUID, reason: str) -> None:
    session.execute(
        update(WebhookEndpoint)
        .where(WebhookEndpoint.id == endpoint_id)
        .values(paused=True, paused_reason=reason)
        .execution_options(synchronize_session=False)
    )
