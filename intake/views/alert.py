"""What a tenant sees of its alerts, of whom they are told to, and of the deliveries; never a secret."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from intake.views.base import View
from models.alert import (
    Alert,
    AlertCondition,
    AlertDelivery,
    DeliveryAttempt,
    DeliveryEvent,
    DeliveryState,
    EmailRecipient,
    Severity,
    WebhookEndpoint,
)


class AlertView(View):
    id: UUID
    condition: AlertCondition
    subject: str
    """The meter and percentage, the account's id or the kind of job."""
    severity: Severity
    title: str
    evidence: list[Any]
    """Metric, value, comparison and threshold of each thing that raised it."""
    period_start: datetime
    """It is told once in the period that begins here."""
    raised_at: datetime
    resolved_at: datetime | None
    """None while the condition holds."""
    recurrences: int
    """How often the condition came back within the period, which nobody was told."""


class EndpointView(View):
    id: UUID
    url: str
    description: str | None
    conditions: list[AlertCondition]
    """Empty is all."""
    paused: bool
    paused_reason: str | None
    previous_until: datetime | None
    """Until then deliveries are signed with the former secret too."""
    created_at: datetime
    updated_at: datetime


class NewEndpointView(EndpointView):
    secret: str
    """Signs what is delivered. It is shown this once and never again."""


class RecipientView(View):
    id: UUID
    email: str
    name: str | None
    conditions: list[AlertCondition]
    """Empty is all."""
    paused: bool
    paused_reason: str | None
    created_at: datetime
    updated_at: datetime


class DeliveryView(View):
    id: UUID
    """The receiver sees it as `webhook-id` or in the Message-ID, the same in every attempt."""
    event: DeliveryEvent
    alert_id: UUID | None
    endpoint_id: UUID | None
    recipient_id: UUID | None
    state: DeliveryState
    error: str | None
    """Why the latest attempt did not succeed."""
    attempts: int
    job_id: UUID
    created_at: datetime
    ended_at: datetime | None


class AttemptView(View):
    attempt: int
    at: datetime
    status: int | None
    """HTTP status or SMTP reply code; null when there was no answer."""
    error: str | None
    milliseconds: int


class DeliveryDetail(DeliveryView):
    body: str
    """Exactly what is sent."""
    log: list[AttemptView]


ALERT_COLUMNS = [getattr(Alert, name) for name in AlertView.model_fields]
ENDPOINT_COLUMNS = [getattr(WebhookEndpoint, name) for name in EndpointView.model_fields]
RECIPIENT_COLUMNS = [getattr(EmailRecipient, name) for name in RecipientView.model_fields]

_ATTEMPTS = (
    select(func.count())
    .where(
        DeliveryAttempt.organization_id == AlertDelivery.organization_id,
        DeliveryAttempt.delivery_id == AlertDelivery.id,
    )
    .correlate(AlertDelivery)
    .scalar_subquery()
    .label("attempts")
)
_DELIVERY = [
    _ATTEMPTS if name == "attempts" else getattr(AlertDelivery, name) for name in DeliveryView.model_fields
]


def list_alerts(
    session: Session,
    *,
    condition: AlertCondition | None,
    open_only: bool | None,
    before: UUID | None,
    limit: int,
) -> Sequence[Row[Any]]:
    """Return alerts, newest first."""
    query = select(*ALERT_COLUMNS)
    if condition is not None:
        query = query.where(Alert.condition == condition.value)
    if open_only is not None:
        query = query.where(Alert.resolved_at.is_(None) if open_only else Alert.resolved_at.is_not(None))
    if before is not None:
        query = query.where(Alert.id < before)
    return session.execute(query.order_by(Alert.id.desc()).limit(limit)).all()


def list_deliveries(  # noqa: PLR0913 - one parameter per filter
    session: Session,
    *,
    state: DeliveryState | None,
    alert_id: UUID | None,
    receiver_id: UUID | None,
    before: UUID | None,
    limit: int,
) -> Sequence[Row[Any]]:
    """Return deliveries, newest first."""
    query = select(*_DELIVERY)
    if state is not None:
        query = query.where(AlertDelivery.state == state.value)
    if alert_id is not None:
        query = query.where(AlertDelivery.alert_id == alert_id)
    if receiver_id is not None:
        to = (AlertDelivery.endpoint_id == receiver_id) | (AlertDelivery.recipient_id == receiver_id)
        query = query.where(to)
    if before is not None:
        query = query.where(AlertDelivery.id < before)
    return session.execute(query.order_by(AlertDelivery.id.desc()).limit(limit)).all()


def find_delivery(session: Session, delivery_id: UUID) -> DeliveryDetail | None:
    """Return a delivery with the log of its attempts, or None."""
    query = select(*_DELIVERY, AlertDelivery.body).where(AlertDelivery.id == delivery_id)
    row = session.execute(query).one_or_none()
    if row is None:
        return None
    columns = [getattr(DeliveryAttempt, name) for name in AttemptView.model_fields]
    attempts = session.execute(
        select(*columns).where(DeliveryAttempt.delivery_id == delivery_id).order_by(DeliveryAttempt.id)
    )
    log = [AttemptView.model_validate(attempt) for attempt in attempts]
    return DeliveryDetail.from_row(row, log=log)
