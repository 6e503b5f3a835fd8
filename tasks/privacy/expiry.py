"""Removes archives that have been kept long enough."""

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from models.privacy import PrivacyRequest, RequestKind, RequestState
from tasks.privacy.archive import get_archives, remove_archive


def expire_exports(session: Session, organization_id: UUID) -> int:
    """Remove the archives of the bound tenant whose time is up; returns how many."""
    old = select(PrivacyRequest.id).where(
        PrivacyRequest.kind == RequestKind.EXPORT,
        PrivacyRequest.state == RequestState.SUCCEEDED,
        PrivacyRequest.expires_at < datetime.now(UTC),
    )
    expired = session.scalars(old).all()
    for request_id in expired:
        remove_archive(get_archives(), organization_id, request_id)
    session.execute(
        update(PrivacyRequest)
        .where(PrivacyRequest.id.in_(expired))
        .values(state=RequestState.EXPIRED)
        .execution_options(synchronize_session=False)
    )
    return len(expired)
