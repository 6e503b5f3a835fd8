"""Posts in the database: each step of publishing is one function, run in one short transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from models.social import AccountStatus, PostState, SocialAccount, SocialPost
from tasks.payloads import PublishPost
from tasks.social_posting.account import describe
from tasks.social_posting.content import Content, described
from tasks.social_posting.error import PlatformError
from tasks.social_posting.platform import Account, Intent, Published
from worker.context import Claim

DETAIL_LENGTH = 500
KNOWN_SINCE = timedelta(days=1)
"""Posts published this long before an intent are too old to be mistaken for it."""


class NoSuchPostError(Exception):
    """The organization has no such post, or no such account to post to."""


@dataclass(frozen=True, slots=True)
class Post:
    """A post as one attempt sees it."""

    id: UUID
    state: PostState
    text: str
    media: list[Any]
    account: Account
    account_status: AccountStatus
    intent: Intent | None
    """What was sent, or was about to be, in an earlier attempt."""
    published: Published | None

    @property
    def content(self) -> Content:
        """What it says."""
        return Content(self.text, described(self.media))


def open_post(session: Session, claim: Claim, payload: PublishPost) -> Post:
    """Lock the post, storing one written in the job first; one found in `publishing` becomes `unknown`.

    Raises:
        NoSuchPostError: The payload names a post or an account that is not there.
    """
    post_id = claim.job_id if payload.post_id is None else payload.post_id
    row = _lock(session, post_id)
    if row is None and payload.post_id is None:
        row = _store(session, claim, payload)
    if row is None:
        raise NoSuchPostError(f"there is no post {post_id}")
    account = session.execute(
        select(SocialAccount).where(SocialAccount.id == row.account_id)
    ).scalar_one_or_none()
    if account is None:
        raise NoSuchPostError(f"there is no account {row.account_id}")
    if row.state == PostState.PUBLISHING:
        row.state = PostState.UNKNOWN
    if row.state != PostState.PUBLISHED:
        row.job_id = claim.job_id
    return _describe(row, account)


def _lock(session: Session, post_id: UUID) -> SocialPost | None:
    statement = select(SocialPost).where(SocialPost.id == post_id).with_for_update()
    return session.execute(statement).scalar_one_or_none()


def _store(session: Session, claim: Claim, payload: PublishPost) -> SocialPost:
    account = session.execute(
        select(SocialAccount).where(SocialAccount.id == payload.account_id)
    ).scalar_one_or_none()
    if account is None:
        raise NoSuchPostError(f"there is no account {payload.account_id}")
    row = SocialPost(
        organization_id=claim.organization_id,
        id=claim.job_id,
        account_id=account.id,
        platform=account.platform,
        state=PostState.QUEUED,
        body=payload.text,
        media=[medium.model_dump(mode="json") for medium in payload.media],
        scheduled_at=claim.created_at,
        job_id=claim.job_id,
    )
    session.add(row)
    return row


def _describe(row: SocialPost, account: SocialAccount) -> Post:
    intent = None
    if row.provider_key is not None and row.frozen_body is not None and row.publishing_at is not None:
        intent = Intent(row.provider_key, row.frozen_body, row.publishing_at)
    published = None
    if row.state == PostState.PUBLISHED and row.remote_id is not None:
        published = Published(row.remote_id, row.remote_url or "")
    return Post(
        id=row.id,
        state=PostState(row.state),
        text=row.body,
        media=row.media or [],
        account=describe(account),
        account_status=AccountStatus(account.status),
        intent=intent,
        published=published,
    )


def write_intent(session: Session, post: Post, intent: Intent) -> None:
    """Mark the post `publishing` with what is about to be sent."""
    _change(
        session,
        post,
        state=PostState.PUBLISHING,
        provider_key=intent.key,
        frozen_body=dict(intent.body),
        publishing_at=intent.at,
        error_class=None,
        error_detail=None,
    )


def drop_intent(session: Session, post: Post) -> None:
    """Forget an intent that certainly never was published nor will be; the next attempt prepares another."""
    _change(session, post, provider_key=None, frozen_body=None, publishing_at=None)


def write_published(session: Session, post: Post, published: Published) -> None:
    """Record that the platform has the post."""
    _change(
        session,
        post,
        state=PostState.PUBLISHED,
        remote_id=published.remote_id,
        remote_url=published.url,
        published_at=datetime.now(UTC),
        error_class=None,
        error_detail=None,
    )


def write_cancelled(session: Session, post: Post) -> None:
    """Record that the post will not go out; nothing was sent."""
    _change(session, post, state=PostState.CANCELLED)


def write_error(session: Session, post: Post, state: PostState, error: PlatformError) -> None:
    """Record why the post is not published, and the state that this leaves it in."""
    _change(session, post, state=state, error_class=error.code, error_detail=error.detail[:DETAIL_LENGTH])


def _change(session: Session, post: Post, **values: Any) -> None:
    """Write to the post, unless another attempt has found it published."""
    session.execute(
        update(SocialPost)
        .where(SocialPost.id == post.id, SocialPost.state != PostState.PUBLISHED)
        .values(**values)
        .execution_options(synchronize_session=False)
    )


def known_remote_ids(session: Session, post: Post, intent: Intent) -> frozenset[str]:
    """Return the remote ids of the account's other recent posts, which a probe must not take for this one."""
    statement = select(SocialPost.remote_id).where(
        SocialPost.account_id == post.account.id,
        SocialPost.id != post.id,
        SocialPost.remote_id.is_not(None),
        SocialPost.published_at >= intent.at - KNOWN_SINCE,
    )
    return frozenset(str(remote_id) for remote_id in session.execute(statement).scalars())


def shown(post: Post, published: Published) -> Mapping[str, Any]:
    """Return what the tenant is shown of a published post."""
    return {
        "post_id": str(post.id),
        "platform": post.account.platform.value,
        "account": post.account.handle,
        "remote_id": published.remote_id,
        "remote_url": published.url,
    }
