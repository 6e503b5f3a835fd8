"""What an organization scores its leads by: versions of its rules and model; leads that changed since."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedMixin, TenantMixin


class LeadRuleSet(TenantMixin, CreatedMixin, Base):
    """One version of an organization's rules; append-only, and the highest version is in force."""

    __tablename__ = "lead_rule_sets"
    __table_args__ = (
        UniqueConstraint("organization_id", "version"),
        CheckConstraint("version > 0", name="version"),
    )

    version: Mapped[int]
    """Counts from 1; the defaults, which are no row, are version 0."""
    rules: Mapped[dict[str, Any]]
    note: Mapped[str | None]
    created_by: Mapped[str | None]
    """The user that a token named, who need not be one of ours."""


class LeadModel(TenantMixin, CreatedMixin, Base):
    """One version of an organization's predictive model; the highest that is not retired is in use."""

    __tablename__ = "lead_models"
    __table_args__ = (
        UniqueConstraint("organization_id", "version"),
        CheckConstraint("version > 0", name="version"),
    )

    version: Mapped[int]
    model: Mapped[dict[str, Any]]
    """Coefficients and card, as `tasks.lead_scoring.prediction.model.Model` reads them."""
    retired_at: Mapped[datetime | None]


class LeadChange(Base):
    """A lead that changed, or did something, since it was scored.

    Whoever changes a lead writes its mark before it touches the lead; a scoring takes the mark before it
    reads the lead. In this order no change is lost, and no two transactions wait for each other crosswise.
    """

    __tablename__ = "lead_changes"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id", "lead_id"], ["leads.organization_id", "leads.id"], ondelete="CASCADE"
        ),
    )

    lead_id: Mapped[UUID] = mapped_column(primary_key=True)
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())
