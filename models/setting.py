"""Settings of an organization, by key."""

from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, OrganizationMixin, TimestampMixin, references

MODEL_EXCLUDED = "lead_scoring.model_excluded"
"""Key of the list of fields that an organization's predictive model must not use."""


class Setting(OrganizationMixin, TimestampMixin, Base):
    __tablename__ = "settings"
    __table_args__ = (references("users", "updated_by"),)

    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[Any] = mapped_column(JSONB)
    updated_by: Mapped[UUID | None]
