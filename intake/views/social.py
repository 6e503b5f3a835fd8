"""What a tenant sees of its social accounts and posts; never a token."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import Field, computed_field
from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from intake.views.base import View
from models.social import AccountStatus, PlatformName, PostState, SocialPost

NEXT_STEPS: Mapping[AccountStatus, str] = {
    AccountStatus.NEEDS_REAUTH: (
        "The platform no longer accepts our permission. Connect the account again (authorize or password, "
        "with its account_id), then queue its blocked posts: POST /api/v1/social/accounts/{id}/requeue."
    ),
    AccountStatus.PAUSED: (
        "The platform closed or suspended this account. Settle that there, then "
        "POST /api/v1/social/accounts/{id}/resume, and queue its blocked posts with .../requeue."
    ),
}


class AccountView(View):
    id: UUID
    platform: PlatformName
    handle: str
    remote_id: str | None
    server_url: str | None
    status: AccountStatus
    status_detail: str | None
    """Why it is not active, as the platform said."""
    rate_limited_until: datetime | None
    """The platform takes no more of this account before; its posts wait."""
    expires_at: datetime | None
    created_at: datetime

    @computed_field  # type: ignore[prop-decorator]
    @property
    def next_step(self) -> str | None:
        """What to do about an account that is not active."""
        step = NEXT_STEPS.get(self.status)
        return None if step is None else step.replace("{id}", str(self.id))


class MediumView(View):
    """A medium of a post."""

    asset_id: UUID
    content_type: str | None
    size: int | None
    alt_text: str


class PostView(View):
    id: UUID
    account_id: UUID
    campaign_id: UUID | None
    group_id: UUID | None
    """Posts that were written together for several accounts share it."""
    platform: PlatformName
    state: PostState
    body: str
    media: list[MediumView]
    scheduled_at: datetime | None
    job_id: UUID | None
    """The job that publishes it."""
    published_at: datetime | None
    remote_id: str | None
    remote_url: str | None
    error_class: str | None
    error_detail: str | None
    metrics: dict[str, int] | None
    metrics_at: datetime | None
    decided_by: str | None
    """Who said what became of it, when nobody knew."""
    decided_at: datetime | None
    created_at: datetime


class PostWarning(View):
    """Something to look at; the post was accepted."""

    code: str
    """`duplicate`, `same_hour` or `account_not_active`."""
    message: str
    post_id: UUID | None = None


class WrittenPost(PostView):
    """A post as it was accepted."""

    warnings: list[PostWarning] = Field(default_factory=list)

    @classmethod
    def of(cls, row: Row[Any], warnings: Sequence[PostWarning]) -> Self:
        """Make it from a row and what there is to look at."""
        return cls(**PostView.model_validate(row).model_dump(), warnings=list(warnings))


POST_COLUMNS = [getattr(SocialPost, name) for name in PostView.model_fields]


def find_post(session: Session, post_id: UUID) -> Row[Any] | None:
    """Return the post, or None."""
    return session.execute(select(*POST_COLUMNS).where(SocialPost.id == post_id)).one_or_none()
