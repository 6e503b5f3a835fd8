"""Alerts, whom they are delivered to, and the log of deliveries."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    Index,
    Integer,
    UniqueConstraint,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Mapped, column_property, mapped_column

from models.base import (
    EMPTY_LIST,
    Base,
    CreatedMixin,
    SoftDeleteMixin,
    TenantMixin,
    TimestampMixin,
    one_of,
    references,
)


class AlertCondition(StrEnum):
    """What an alert is about."""

    QUOTA = "quota"
    ACCOUNT = "account"
    DEAD_LETTERS = "dead_letters"
    CADENCE = "cadence"


class Severity(StrEnum):
    WARNING = "warning"
    CRITICAL = "critical"


class DeliveryEvent(StrEnum):
    """What a delivery tells; the `type` of a webhook."""

    RAISED = "alert.raised"
    RESOLVED = "alert.resolved"
    TEST = "alert.test"


class DeliveryState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    """Nothing tries it any more."""
    CANCELLED = "cancelled"
    """Its receiver was removed or paused first."""


class Alert(TenantMixin, Base):
    """One condition of one subject in one period: raised once, resolved when the condition ends."""

    __tablename__ = "alerts"
    __table_args__ = (
        one_of("condition", AlertCondition),
        one_of("severity", Severity),
        UniqueConstraint("organization_id", "condition", "subject", "period_start"),
        Index(
            "uq_alerts_organization_id_open",
            "organization_id",
            "condition",
            "subject",
            unique=True,
            postgresql_where=text("resolved_at IS NULL"),
        ),
        Index("ix_alerts_by_raised_at", "organization_id", "raised_at", "id"),
    )

    condition: Mapped[str]
    subject: Mapped[str]
    """Which meter, account or kind; the condition says what it is."""
    period_start: Mapped[datetime]
    severity: Mapped[str]
    title: Mapped[str]
    evidence: Mapped[list[Any]] = mapped_column(server_default=EMPTY_LIST)
    """Metric, value and threshold of each thing that raised it."""
    raised_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    resolved_at: Mapped[datetime | None]
    recurrences: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """How often the condition came back within the period; nobody is told again."""


class ReceiverMixin(TenantMixin, TimestampMixin, SoftDeleteMixin):
    """Someone who is told of alerts."""

    conditions: Mapped[list[str]] = mapped_column(server_default=text("'{}'::text[]"))
    """Only these; empty is all."""
    paused: Mapped[bool] = mapped_column(server_default=text("false"))
    paused_reason: Mapped[str | None]


class WebhookEndpoint(ReceiverMixin, Base):
    __tablename__ = "webhook_endpoints"
    __table_args__ = (Index("ix_webhook_endpoints_by_created_at", "organization_id", "created_at", "id"),)

    url: Mapped[str]
    description: Mapped[str | None]
    secret_encrypted: Mapped[bytes]
    previous_secret_encrypted: Mapped[bytes | None]
    """Signs too until `previous_until`, so that a receiver can change over."""
    previous_until: Mapped[datetime | None]


class EmailRecipient(ReceiverMixin, Base):
    __tablename__ = "email_recipients"
    __table_args__ = (
        Index(
            "uq_email_recipients_organization_id_email_norm",
            "organization_id",
            "email_norm",
            unique=True,
            postgresql_where=text("deleted_at IS NULL"),
        ),
        Index("ix_email_recipients_by_created_at", "organization_id", "created_at", "id"),
    )

    email: Mapped[str]
    email_norm: Mapped[str]
    """Trimmed and in lower case."""
    name: Mapped[str | None]


class AlertDelivery(TenantMixin, CreatedMixin, Base):
    """One thing told to one receiver; a job of its own brings it there."""

    __tablename__ = "alert_deliveries"
    __table_args__ = (
        one_of("event", DeliveryEvent),
        one_of("state", DeliveryState),
        CheckConstraint("num_nonnulls(endpoint_id, recipient_id) > 0", name="receiver"),
        references("alerts", "alert_id"),
        references("webhook_endpoints", "endpoint_id"),
        references("email_recipients", "recipient_id"),
        Index(
            "ix_alert_deliveries_pending",
            "organization_id",
            "id",
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index("ix_alert_deliveries_by_created_at", "organization_id", "created_at", "id"),
    )

    alert_id: Mapped[UUID | None]
    endpoint_id: Mapped[UUID | None]
    recipient_id: Mapped[UUID | None]
    event: Mapped[str]
    body: Mapped[str]
    """Exactly what is sent, whatever the attempt."""
    state: Mapped[str] = mapped_column(server_default=DeliveryState.PENDING)
    job_id: Mapped[UUID]
    error: Mapped[str | None]
    """Why the latest attempt did not succeed."""
    ended_at: Mapped[datetime | None]

    if TYPE_CHECKING:  # set below, where attempts are known
        attempts: Mapped[int]
        log: Mapped[list[Any]]


class DeliveryAttempt(TenantMixin, Base):
    """One attempt of a delivery; append-only."""

    __tablename__ = "delivery_attempts"
    __table_args__ = (
        references("alert_deliveries", "delivery_id"),
        Index("ix_delivery_attempts_delivery", "organization_id", "delivery_id", "id"),
    )

    delivery_id: Mapped[UUID]
    attempt: Mapped[int] = mapped_column(Integer)
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    status: Mapped[int | None] = mapped_column(Integer)
    """HTTP status or SMTP reply code; None when there was no answer."""
    error: Mapped[str | None]
    milliseconds: Mapped[int] = mapped_column(Integer)


def _of_its_attempts(what: ColumnElement[Any]) -> Any:
    """Return a column of a delivery that is computed from its attempts; read only where it is named."""
    own = (
        DeliveryAttempt.organization_id == AlertDelivery.organization_id,
        DeliveryAttempt.delivery_id == AlertDelivery.id,
    )
    query = select(what).where(*own).correlate(AlertDelivery)
    return column_property(query.scalar_subquery(), deferred=True)


AlertDelivery.attempts = _of_its_attempts(func.count())
AlertDelivery.log = _of_its_attempts(
    func.coalesce(
        func.jsonb_agg(aggregate_order_by(literal_column("delivery_attempts"), DeliveryAttempt.id)),
        EMPTY_LIST,
    )
)
