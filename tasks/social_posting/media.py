"""The media of posts: looked up in the tenant's library when a post is written, read when it goes out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.content import ContentAsset
from tasks.media_link import public_link
from tasks.media_store import get_media_store
from tasks.payloads import Media
from tasks.social_posting.content import Medium, described


class UnknownMediumError(Exception):
    """The organization has no such medium in its library."""

    def __init__(self, index: int, asset_id: UUID) -> None:
        super().__init__(f"media[{index}]: there is no medium {asset_id}")
        self.index = index
        self.asset_id = asset_id


def attach(session: Session, media: Sequence[Media]) -> list[dict[str, Any]]:
    """Return what a post keeps of its media: everything but the bytes.

    Raises:
        UnknownMediumError: One of them is not in the tenant's library.
    """
    return [_describe(_find(session, index, each), each) for index, each in enumerate(media)]


def _find(session: Session, index: int, wanted: Media) -> ContentAsset:
    statement = select(ContentAsset).where(
        ContentAsset.id == wanted.asset_id, ContentAsset.storage_key.is_not(None)
    )
    asset = session.scalars(statement).one_or_none()
    if asset is None:
        raise UnknownMediumError(index, wanted.asset_id)
    return asset


def _describe(asset: ContentAsset, wanted: Media) -> dict[str, Any]:
    return {
        "asset_id": str(asset.id),
        "key": asset.storage_key,
        "content_type": asset.media_type,
        "size": asset.byte_size,
        "width": asset.width,
        "height": asset.height,
        "duration_ms": asset.duration_ms,
        "alt_text": asset.alt_text or "" if wanted.alt_text is None else wanted.alt_text,
    }


def opened(organization_id: UUID, media: Sequence[Mapping[str, Any]]) -> tuple[Medium, ...]:
    """Return a post's media as a platform takes them; the bytes are read when they are asked for."""
    store = get_media_store()
    return tuple(
        replace(
            medium,
            url=public_link(organization_id, UUID(each["asset_id"])),
            read=partial(store.read, organization_id, each["key"]),
        )
        for medium, each in zip(described(media), media, strict=True)
    )
