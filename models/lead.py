"""Leads and what they did."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import (
    EMPTY_LIST,
    EMPTY_OBJECT,
    Base,
    CreatedMixin,
    SoftDeleteMixin,
    TenantMixin,
    TimestampMixin,
    one_of,
    references,
)


class LeadStatus(StrEnum):
    NEW = "new"
    CONTACTED = "contacted"
    QUALIFIED = "qualified"
    CONVERTED = "converted"
    LOST = "lost"


class Lead(TenantMixin, TimestampMixin, SoftDeleteMixin, Base):
    """A person who may become a customer, with the score of the last scoring."""

    __tablename__ = "leads"
    __table_args__ = (
        one_of("status", LeadStatus),
        references("campaigns", "campaign_id"),
        CheckConstraint("score BETWEEN 0 AND 100", name="score"),
        Index("ix_leads_score", "organization_id", text("score DESC"), text("created_at DESC")),
        Index("ix_leads_email_norm", "organization_id", "email_norm"),
        Index(
            "uq_leads_organization_id_external_id",
            "organization_id",
            "external_id",
            unique=True,
            postgresql_where=text("external_id IS NOT NULL"),
        ),
        # Some of each page stays free, so that a rescored lead stays on its page.
        {"postgresql_with": {"fillfactor": 70}},
    )

    external_id: Mapped[str | None]
    """The lead's id in the tenant's own system."""
    campaign_id: Mapped[UUID | None]
    email: Mapped[str | None]
    email_norm: Mapped[str | None]
    first_name: Mapped[str | None]
    last_name: Mapped[str | None]
    company: Mapped[str | None]
    job_title: Mapped[str | None]
    phone: Mapped[str | None]
    source: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default=LeadStatus.NEW)
    attributes: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
    """Whatever else is known of the lead; rules of fit read these."""
    score: Mapped[float] = mapped_column(server_default="0")
    grade: Mapped[str | None]
    """A1 to C3; None before the first scoring."""
    bucket: Mapped[str | None]
    reasons: Mapped[list[Any]] = mapped_column(server_default=EMPTY_LIST)
    """What the score is made of; the points sum to the score."""
    fit: Mapped[float] = mapped_column(server_default="0")
    engagement: Mapped[float] = mapped_column(server_default="0")
    """Decayed to ``engagement_at``."""
    engagement_at: Mapped[datetime | None]
    rules_version: Mapped[int | None]
    """0 is the default rules."""
    model_version: Mapped[int | None]
    """The predictive model that had a say; None by the rules alone."""
    last_scored_at: Mapped[datetime | None]
    """When the score was last written: a scoring that changes nothing need not write."""
    converted: Mapped[bool] = mapped_column(server_default="false")
    converted_at: Mapped[datetime | None]


class LeadEvent(TenantMixin, CreatedMixin, Base):
    """Something a lead did; append-only."""

    __tablename__ = "lead_events"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id", "lead_id"], ["leads.organization_id", "leads.id"], ondelete="CASCADE"
        ),
        Index("ix_lead_events_lead", "organization_id", "lead_id", "occurred_at"),
        Index(
            "uq_lead_events_organization_id_external_id",
            "organization_id",
            "external_id",
            unique=True,
            postgresql_where=text("external_id IS NOT NULL"),
        ),
    )

    lead_id: Mapped[UUID]
    name: Mapped[str]
    occurred_at: Mapped[datetime]
    points: Mapped[float | None]
    """What the event is worth by itself; None lets the rules decide."""
    external_id: Mapped[str | None]
    """The event's id in the tenant's own system: the same one twice is the same event."""
    attributes: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
