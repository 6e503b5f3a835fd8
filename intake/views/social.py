"""What a tenant sees of its social accounts and posts; never a token."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from intake.views.base import View
from models.social import AccountStatus, PlatformName, PostState, SocialAccount, SocialPost


class AccountView(View):
    id: UUID
    platform: PlatformName
    handle: str
    remote_id: str | None
    server_url: str | None
    status: AccountStatus
    status_detail: str | None
    expires_at: datetime | None
    created_at: datetime


class PostView(View):
    id: UUID
    account_id: UUID
    campaign_id: UUID | None
    platform: PlatformName
    state: PostState
    body: str
    media: list[Any]
    scheduled_at: datetime | None
    job_id: UUID | None
    """The job that publishes it."""
    published_at: datetime | None
    remote_id: str | None
    remote_url: str | None
    error_class: str | None
    error_detail: str | None
    created_at: datetime


ACCOUNT_COLUMNS = [getattr(SocialAccount, name) for name in AccountView.model_fields]
POST_COLUMNS = [getattr(SocialPost, name) for name in PostView.model_fields]


def list_accounts(session: Session, *, before: UUID | None, limit: int) -> Sequence[Row[Any]]:
    """Return accounts, newest first."""
    query = select(*ACCOUNT_COLUMNS)
    if before is not None:
        query = query.where(SocialAccount.id < before)
    return session.execute(query.order_by(SocialAccount.id.desc()).limit(limit)).all()


def list_posts(
    session: Session, *, state: PostState | None, account_id: UUID | None, before: UUID | None, limit: int
) -> Sequence[Row[Any]]:
    """Return posts, newest first."""
    query = select(*POST_COLUMNS)
    if state is not None:
        query = query.where(SocialPost.state == state)
    if account_id is not None:
        query = query.where(SocialPost.account_id == account_id)
    if before is not None:
        query = query.where(SocialPost.id < before)
    return session.execute(query.order_by(SocialPost.id.desc()).limit(limit)).all()


def find_post(session: Session, post_id: UUID) -> Row[Any] | None:
    """Return the post, or None."""
    return session.execute(select(*POST_COLUMNS).where(SocialPost.id == post_id)).one_or_none()
