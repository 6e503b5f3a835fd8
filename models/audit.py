"""The audit log: who changed what, in a chain that shows when a link was altered or removed."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import EMPTY_OBJECT, Base, OrganizationMixin, TenantMixin, one_of


class AuditOrigin(StrEnum):
    DATABASE = "database"
    APPLICATION = "application"


class AuditEntry(TenantMixin, Base):
    """Written by ``app.audit`` and by triggers only: the application may read it and nothing else."""

    __tablename__ = "audit_log"
    __table_args__ = (one_of("origin", AuditOrigin), UniqueConstraint("organization_id", "position"))

    position: Mapped[int]
    """1, 2, 3, ... within the organization, without a gap."""
    occurred_at: Mapped[datetime]
    origin: Mapped[str]
    """Who wrote it: a trigger cannot be made to lie, the application could."""
    actor: Mapped[str | None]
    action: Mapped[str]
    """``table.verb``, or ``area.verb`` for what is not the change of a row."""
    subject: Mapped[str | None]
    """Key of the row concerned."""
    detail: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
    previous_hash: Mapped[bytes]
    hash: Mapped[bytes]
    """SHA-256 of the previous hash and this entry."""


class AuditHead(OrganizationMixin, Base):
    """The last link of an organization's chain; its row lock puts writers in order."""

    __tablename__ = "audit_heads"

    position: Mapped[int]
    hash: Mapped[bytes]
