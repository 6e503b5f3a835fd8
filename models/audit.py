"""The audit log: who changed what, in a chain that shows when a link was altered or removed."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Index,
    ScalarSelect,
    Select,
    Text,
    UniqueConstraint,
    cast,
    func,
    select,
)
from sqlalchemy.orm import InstrumentedAttribute, Mapped, aliased, mapped_column

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
    """A job, an operator, or the pseudonym of a user."""
    action: Mapped[str]
    """``table.verb``, or ``area.verb`` for what is not the change of a row."""
    subject: Mapped[str | None]
    """Key of the row concerned; of a person, the pseudonym."""
    detail: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
    """What can name no person; the rest stands in `AuditDetail`."""
    previous_hash: Mapped[bytes]
    hash: Mapped[bytes]
    """SHA-256 of the previous hash and this entry."""
    digest: Mapped[bytes | None]
    """Of what stands beside this entry: the chain holds, whether or not that was forgotten."""


class AuditHead(OrganizationMixin, Base):
    """The last link of an organization's chain; its row lock puts writers in order."""

    __tablename__ = "audit_heads"

    position: Mapped[int]
    hash: Mapped[bytes]


class AuditName(Base):
    """Whom a pseudonym of the chain means, until they are forgotten."""

    __tablename__ = "audit_names"
    __table_args__ = (UniqueConstraint("organization_id", "name"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]


class AuditDetail(Base):
    """What an entry says beyond who, what and when: it may tell of a person, so it can be forgotten."""

    __tablename__ = "audit_details"
    __table_args__ = (Index("ix_audit_details_request_id", "organization_id", "request_id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    """The entry's."""
    salt: Mapped[bytes]
    request_id: Mapped[str | None]
    detail: Mapped[dict[str, Any]]


def _called(name: type[AuditName], column: InstrumentedAttribute[str | None]) -> ColumnElement[bool]:
    return (name.organization_id == AuditEntry.organization_id) & (cast(name.id, Text) == column)


def audit_entries() -> Select[Any]:
    """Select entries as people read them: names for pseudonyms, and what stands beside the chain."""
    actor, subject = aliased(AuditName), aliased(AuditName)
    beside = (AuditDetail.organization_id == AuditEntry.organization_id) & (AuditDetail.id == AuditEntry.id)
    return (
        select(
            AuditEntry.id,
            AuditEntry.position,
            AuditEntry.occurred_at,
            AuditEntry.origin,
            func.coalesce(actor.name, AuditEntry.actor).label("actor"),
            AuditEntry.action,
            func.coalesce(subject.name, AuditEntry.subject).label("subject"),
            AuditEntry.detail.op("||")(func.coalesce(AuditDetail.detail, EMPTY_OBJECT)).label("detail"),
            AuditDetail.request_id,
            (AuditEntry.digest.is_not(None) & AuditDetail.id.is_(None)).label("forgotten"),
            AuditEntry.hash,
        )
        .outerjoin(AuditDetail, beside)
        .outerjoin(actor, _called(actor, AuditEntry.actor))
        .outerjoin(subject, _called(subject, AuditEntry.subject))
    )


def alias_of(name: str) -> ScalarSelect[Any]:
    """Select what the chain calls *name*, or the name itself where it has no pseudonym."""
    pseudonym = select(cast(AuditName.id, Text)).where(AuditName.name == name).scalar_subquery()
    return select(func.coalesce(pseudonym, name)).scalar_subquery()
