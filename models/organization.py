"""Organizations: the tenants."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column
from uuid_utils.compat import uuid7

from config.plans import Plan, terms_of
from models.base import EMPTY_OBJECT, NEW_ID, Base, SoftDeleteMixin, TimestampMixin, one_of
from models.session import Database, call

DEFAULT_REGION = "default"
"""Of organizations and processes that nobody gave one."""


class OrganizationStatus(StrEnum):
    ACTIVE = "active"
    INACTIVE = "inactive"
    SUSPENDED = "suspended"


class PlanName(StrEnum):
    """The plans of ``config.plans.PLANS``."""

    STARTER = "starter"
    PROFESSIONAL = "professional"
    ENTERPRISE = "enterprise"


class Organization(TimestampMixin, SoftDeleteMixin, Base):
    __tablename__ = "organizations"
    __table_args__ = (one_of("status", OrganizationStatus), one_of("plan", PlanName))

    organization_id: Mapped[UUID] = mapped_column(
        primary_key=True, default=uuid7, server_default=NEW_ID, sort_order=-2
    )
    name: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=OrganizationStatus.ACTIVE)
    plan: Mapped[str] = mapped_column(server_default=PlanName.STARTER)
    plan_overrides: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
    """What this organization has instead of its plan's values."""
    time_zone: Mapped[str] = mapped_column(server_default="UTC")
    pools_training_data: Mapped[bool] = mapped_column(server_default="false")
    """Consent to train predictive models across organizations."""
    region: Mapped[str] = mapped_column(server_default=DEFAULT_REGION)
    """Where its data are and its jobs run; it never changes."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """What a request or a job needs to know of its organization."""

    organization_id: UUID
    name: str
    status: str
    plan: str
    plan_overrides: Mapping[str, Any] = field(hash=False)
    time_zone: str
    billing_anchor: date
    """Billing periods begin on this day of the month."""
    region: str = DEFAULT_REGION

    @property
    def terms(self) -> Plan:
        """Return what the organization may use: its plan with what it has instead."""
        return terms_of(self.plan, self.plan_overrides)


def load_tenant(database: Database, organization_id: UUID) -> Tenant | None:
    """Return the organization, or None when there is none or it was deleted."""
    rows = call(database, organization_id, "find_tenant")
    return Tenant(**rows[0]) if rows else None
