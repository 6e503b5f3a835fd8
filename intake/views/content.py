"""What a tenant sees of its content library."""

from datetime import datetime
from typing import Any
from uuid import UUID

from intake.views.base import View
from models.content import AssetKind, AssetStatus, ContentAsset


class MediumDetails(View):
    id: UUID
    kind: AssetKind
    status: AssetStatus
    title: str
    media_type: str
    """Found by looking at the bytes."""
    byte_size: int
    width: int | None
    height: int | None
    duration_ms: int | None
    alt_text: str | None
    tags: list[str]
    campaign_id: UUID | None
    created_at: datetime
    updated_at: datetime


MEDIUM_COLUMNS = [getattr(ContentAsset, name) for name in MediumDetails.model_fields]


class TextView(View):
    id: UUID
    kind: AssetKind
    status: AssetStatus
    title: str
    body: str
    tags: list[str]
    attributes: dict[str, Any]
    campaign_id: UUID | None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    """When it was removed; it can be restored."""
