"""Subscriptions: which plan an organization pays for, from when."""

from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, TenantMixin, TimestampMixin, one_of
from models.organization import PlanName


class SubscriptionStatus(StrEnum):
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    CANCELLED = "cancelled"


class Subscription(TenantMixin, TimestampMixin, Base):
    __tablename__ = "subscriptions"
    __table_args__ = (
        one_of("plan", PlanName),
        one_of("status", SubscriptionStatus),
        Index(
            "uq_subscriptions_organization_id_current",
            "organization_id",
            unique=True,
            postgresql_where=text("status <> 'cancelled'"),
        ),
    )

    plan: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=SubscriptionStatus.ACTIVE)
    anchor_date: Mapped[date]
    """Periods begin on this day of the month in the organization's zone, clamped to the month's end."""
    started_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]
    cancelled_at: Mapped[datetime | None]
    billing_reference: Mapped[str | None]
