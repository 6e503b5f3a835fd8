"""What a tenant sees of its alerts, of whom they are told to, and of the deliveries; never a secret."""

from datetime import datetime
from typing import Any
from uuid import UUID

from intake.views.base import View
from models.alert import AlertCondition, DeliveryEvent, DeliveryState, Severity


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


class ReceiverView(View):
    """What endpoints and recipients have in common."""

    id: UUID
    conditions: list[AlertCondition]
    """Empty is all."""
    paused: bool
    paused_reason: str | None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    """When it was removed; it can be restored."""


class EndpointView(ReceiverView):
    url: str
    description: str | None
    previous_until: datetime | None
    """Until then deliveries are signed with the former secret too."""


class NewEndpointView(EndpointView):
    secret: str
    """Signs what is delivered. It is shown this once and never again."""


class RecipientView(ReceiverView):
    email: str
    name: str | None


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
