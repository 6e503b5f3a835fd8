"""Content assets: texts and media that posts are made of."""

from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import EMPTY_OBJECT, Base, SoftDeleteMixin, TenantMixin, TimestampMixin, one_of, references


class AssetKind(StrEnum):
    TEXT = "text"
    IMAGE = "image"
    VIDEO = "video"
    TEMPLATE = "template"


class AssetStatus(StrEnum):
    DRAFT = "draft"
    APPROVED = "approved"
    ARCHIVED = "archived"


class ContentAsset(TenantMixin, TimestampMixin, SoftDeleteMixin, Base):
    __tablename__ = "content_assets"
    __table_args__ = (
        one_of("kind", AssetKind),
        one_of("status", AssetStatus),
        references("campaigns", "campaign_id"),
        references("users", "created_by"),
        CheckConstraint("byte_size >= 0", name="byte_size"),
        Index("ix_content_assets_created_at", "organization_id", "kind", text("created_at DESC")),
        *(
            Index(f"ix_content_assets_by_{column}", "organization_id", column, "id")
            for column in ("created_at", "updated_at")
        ),
    )

    kind: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=AssetStatus.DRAFT)
    title: Mapped[str]
    body: Mapped[str | None]
    media_url: Mapped[str | None]
    media_type: Mapped[str | None]
    byte_size: Mapped[int] = mapped_column(server_default="0")
    """What it counts for the meter ``storage_gb``."""
    sha256: Mapped[bytes | None]
    storage_key: Mapped[str | None]
    """Where the bytes lie, below the media folder or bucket; begins with the organization's own prefix."""
    width: Mapped[int | None] = mapped_column(Integer)
    height: Mapped[int | None] = mapped_column(Integer)
    duration_ms: Mapped[int | None] = mapped_column(Integer)
    alt_text: Mapped[str | None]
    tags: Mapped[list[str]] = mapped_column(server_default=text("'{}'::text[]"))
    attributes: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
    campaign_id: Mapped[UUID | None]
    created_by: Mapped[UUID | None]
