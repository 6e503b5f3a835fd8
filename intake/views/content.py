"""What a tenant sees of its media library."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from intake.views.base import View
from models.content import AssetKind, ContentAsset


class MediumDetails(View):
    id: UUID
    kind: AssetKind
    title: str
    media_type: str
    """Found by looking at the bytes."""
    byte_size: int
    width: int | None
    height: int | None
    duration_ms: int | None
    alt_text: str | None
    created_at: datetime


MEDIUM_COLUMNS = [getattr(ContentAsset, name) for name in MediumDetails.model_fields]


def list_media(session: Session, *, before: UUID | None, limit: int) -> Sequence[Row[Any]]:
    """Return media, newest first."""
    query = select(*MEDIUM_COLUMNS).where(ContentAsset.storage_key.is_not(None))
    if before is not None:
        query = query.where(ContentAsset.id < before)
    return session.execute(query.order_by(ContentAsset.id.desc()).limit(limit)).all()


def find_medium(session: Session, asset_id: UUID) -> Row[Any] | None:
    """Return the medium, or None."""
    query = select(*MEDIUM_COLUMNS).where(ContentAsset.id == asset_id, ContentAsset.storage_key.is_not(None))
    return session.execute(query).one_or_none()
