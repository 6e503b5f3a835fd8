"""Requests of the law: exports and erasures, of one person or of the whole organization."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from models.base import EMPTY_OBJECT, Base, CreatedMixin, TenantMixin, one_of


class RequestKind(StrEnum):
    EXPORT = "export"
    ERASURE = "erasure"


class RequestScope(StrEnum):
    PERSON = "person"
    ORGANIZATION = "organization"


class RequestState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXPIRED = "expired"
    """Of an export: its archive was removed."""


class PrivacyRequest(TenantMixin, CreatedMixin, Base):
    """One export or erasure. Whom it is about stands here encrypted, and no longer than it takes."""

    __tablename__ = "privacy_requests"
    __table_args__ = (
        one_of("kind", RequestKind),
        one_of("scope", RequestScope),
        one_of("state", RequestState),
        Index("ix_privacy_requests_kind", "organization_id", "kind", "id"),
    )

    kind: Mapped[str]
    scope: Mapped[str]
    state: Mapped[str] = mapped_column(server_default=RequestState.QUEUED)
    subject_encrypted: Mapped[bytes | None]
    """Ids and words by which the person is found; removed when the erasure is done."""
    job_id: Mapped[UUID | None]
    progress: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
    """Step to what it did, so that an attempt begins where the one before was."""
    outcome: Mapped[dict[str, Any] | None]
    """The proof of an erasure, the manifest of an export; tells of nobody."""
    byte_size: Mapped[int | None]
    sha256: Mapped[bytes | None]
    """Of the archive."""
    finished_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    """When the archive is removed."""
