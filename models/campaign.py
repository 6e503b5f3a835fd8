"""Campaigns: what posts, assets and leads are gathered under."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import EMPTY_OBJECT, Base, SoftDeleteMixin, TenantMixin, TimestampMixin, one_of, references


class CampaignStatus(StrEnum):
    DRAFT = "draft"
    SCHEDULED = "scheduled"
    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    ARCHIVED = "archived"


class Campaign(TenantMixin, TimestampMixin, SoftDeleteMixin, Base):
    __tablename__ = "campaigns"
    __table_args__ = (
        one_of("status", CampaignStatus),
        references("users", "created_by"),
        CheckConstraint("budget_cents >= 0", name="budget_cents"),
        CheckConstraint("starts_at < ends_at", name="period"),
        Index("ix_campaigns_status", "organization_id", "status", text("created_at DESC")),
        Index(
            "ix_campaigns_active",
            "organization_id",
            text("created_at DESC"),
            postgresql_where=text("status = 'active' AND deleted_at IS NULL"),
        ),
        *(
            Index(f"ix_campaigns_by_{column}", "organization_id", column, "id")
            for column in ("created_at", "updated_at", "name")
        ),
    )

    name: Mapped[str]
    description: Mapped[str | None]
    objective: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default=CampaignStatus.DRAFT)
    budget_cents: Mapped[int | None]
    currency: Mapped[str | None]
    starts_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]
    attributes: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
    created_by: Mapped[UUID | None]
