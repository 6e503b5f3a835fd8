"""Posts in the database: each step of publishing is one function, run in one short transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session

from models.job import Job, JobState
from models.social import EDITABLE_STATES, AccountStatus, PostState, SocialAccount, SocialPost
from tasks.payloads import PublishPost
from tasks.social_posting.account import describe
from tasks.social_posting.content import Content
from tasks.social_posting.error import PlatformError
from tasks.social_posting.media import attach, opened
from tasks.social_posting.platform import Account, Intent, Published
from tasks.social_posting.turn import Wait, find_wait
from worker.context import Claim

DETAIL_LENGTH = 500
KNOWN_SINCE = timedelta(days=1)
"""Posts published this long before an intent are too old to be mistaken for it."""
ANOTHER_ATTEMPT = timedelta(seconds=5)
"""How soon to look again after a job that publishes the same post just now."""

OUT = (PostState.PUBLISHED, PostState.REMOVING, PostState.REMOVED)
"""The platform has, or had, the post."""


class NoSuchPostError(Exception):
    """The organization has no such post, or no such account to post to."""


class PostChangedError(Exception):
    """The post was edited, cancelled or taken over by another job since this attempt read it."""


@dataclass(frozen=True, slots=True)
class Post:
    """A post as one attempt sees it."""

    id: UUID
    organization_id: UUID
    job_id: UUID
    """The job of this attempt."""
    revision: int
    state: PostState
    text: str
    media: Sequence[Mapping[str, Any]]
    uploads: tuple[str, ...]
    """References to the first of its media, which the platform has been given already."""
    account: Account
    account_status: AccountStatus
    intent: Intent | None
    """What was sent, or was about to be, in an earlier attempt."""
    published: Published | None
    wait: Wait | None
    """Why this attempt may not publish yet."""

    @property
    def content(self) -> Content:
        """What it says."""
        return Content(self.text, opened(self.organization_id, self.media))


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
    account = _account_of(session, row.account_id)
    wait = None if row.state in OUT else _wait_of(session, row, account, claim)
    if wait is None and row.state not in OUT:
        if row.state == PostState.PUBLISHING:
            row.state = PostState.UNKNOWN
        row.job_id = claim.job_id
    return _describe(row, account, claim, wait)


def read_post(session: Session, claim: Claim, post_id: UUID) -> Post | None:
    """Return the post as it stands, changing nothing; None when it or its account is gone."""
    row = session.execute(select(SocialPost).where(SocialPost.id == post_id)).scalar_one_or_none()
    if row is None:
        return None
    account = session.execute(
        select(SocialAccount).where(SocialAccount.id == row.account_id)
    ).scalar_one_or_none()
    return None if account is None else _describe(row, account, claim, None)


def _lock(session: Session, post_id: UUID) -> SocialPost | None:
    statement = select(SocialPost).where(SocialPost.id == post_id).with_for_update()
    return session.execute(statement).scalar_one_or_none()


def _account_of(session: Session, account_id: UUID | None) -> SocialAccount:
    account = session.execute(
        select(SocialAccount).where(SocialAccount.id == account_id)
    ).scalar_one_or_none()
    if account is None:
        raise NoSuchPostError(f"there is no account {account_id}")
    return account


def _store(session: Session, claim: Claim, payload: PublishPost) -> SocialPost:
    account = _account_of(session, payload.account_id)
    row = SocialPost(
        organization_id=claim.organization_id,
        id=claim.job_id,
        account_id=account.id,
        platform=account.platform,
        state=PostState.QUEUED,
        body=payload.text,
        media=attach(session, payload.media),
        uploads=[],
        revision=0,
        scheduled_at=claim.created_at,
        job_id=claim.job_id,
    )
    session.add(row)
    session.flush()
    return row


def _wait_of(session: Session, row: SocialPost, account: SocialAccount, claim: Claim) -> Wait | None:
    if row.job_id not in (None, claim.job_id) and _runs(session, row.job_id):
        return Wait("another job is about to publish it", ANOTHER_ATTEMPT)
    if row.scheduled_at is None:
        row.scheduled_at = claim.created_at
    return find_wait(session, row, account)


def _runs(session: Session, job_id: UUID | None) -> bool:
    state = session.scalars(select(Job.state).where(Job.id == job_id)).one_or_none()
    return state == JobState.RUNNING


def _describe(row: SocialPost, account: SocialAccount, claim: Claim, wait: Wait | None) -> Post:
    intent = None
    if row.provider_key is not None and row.frozen_body is not None and row.publishing_at is not None:
        intent = Intent(row.provider_key, row.frozen_body, row.publishing_at)
    published = None
    if row.state in OUT and row.remote_id is not None:
        published = Published(row.remote_id, row.remote_url or "")
    return Post(
        id=row.id,
        organization_id=row.organization_id,
        job_id=claim.job_id,
        revision=row.revision,
        state=PostState(row.state),
        text=row.body,
        media=row.media or [],
        uploads=tuple(row.uploads or ()),
        account=describe(account),
        account_status=AccountStatus(account.status),
        intent=intent,
        published=published,
        wait=wait,
    )


def write_upload(session: Session, post: Post, uploads: Sequence[str]) -> None:
    """Keep the references to what the platform has been given, so that it is not sent again."""
    _change(session, post, uploads=list(uploads))


def write_intent(session: Session, post: Post, intent: Intent) -> None:
    """Mark the post `publishing` with what is about to be sent.

    Raises:
        PostChangedError: What was read is no longer what the tenant wants published.
    """
    statement = _mine(post).where(SocialPost.state.in_((*EDITABLE_STATES, PostState.UNKNOWN)))
    statement = statement.where(SocialPost.state != PostState.CANCELLED, SocialPost.deleted_at.is_(None))
    changed = session.execute(
        statement.values(
            state=PostState.PUBLISHING,
            provider_key=intent.key,
            frozen_body=dict(intent.body),
            publishing_at=intent.at,
            error_class=None,
            error_detail=None,
        )
    )
    assert isinstance(changed, CursorResult)
    if changed.rowcount == 0:
        raise PostChangedError


def drop_intent(session: Session, post: Post) -> None:
    """Forget an intent that certainly never was published nor will be; the next attempt prepares another."""
    _change(session, post, provider_key=None, frozen_body=None, publishing_at=None, uploads=[])


def write_published(session: Session, post: Post, published: Published) -> None:
    """Record that the platform has the post, whatever else has become of the row meanwhile."""
    session.execute(
        update(SocialPost)
        .where(SocialPost.id == post.id, SocialPost.state.not_in(OUT))
        .values(
            state=PostState.PUBLISHED,
            remote_id=published.remote_id,
            remote_url=published.url,
            published_at=datetime.now(UTC),
            error_class=None,
            error_detail=None,
        )
        .execution_options(synchronize_session=False)
    )


def write_cancelled(session: Session, post: Post) -> None:
    """Record that the post will not go out; nothing was sent."""
    _change(session, post, state=PostState.CANCELLED)


def write_error(session: Session, post: Post, state: PostState, error: PlatformError) -> None:
    """Record why the post is not published, and the state that this leaves it in."""
    _change(session, post, state=state, error_class=error.code, error_detail=error.detail[:DETAIL_LENGTH])


def _mine(post: Post) -> Any:
    """Return an update of the post as this attempt has read it: not of one edited or taken over since."""
    return (
        update(SocialPost)
        .where(
            SocialPost.id == post.id,
            SocialPost.revision == post.revision,
            SocialPost.job_id == post.job_id,
        )
        .execution_options(synchronize_session=False)
    )


def _change(session: Session, post: Post, **values: Any) -> None:
    """Write to the post, unless it is out, cancelled, edited or another job's by now."""
    final = (*OUT, PostState.CANCELLED)
    session.execute(_mine(post).where(SocialPost.state.not_in(final)).values(**values))


def known_remote_ids(session: Session, post: Post, intent: Intent) -> frozenset[str]:
    """Return the remote ids of the account's other recent posts, which a probe must not take for this one."""
    statement = (
        select(SocialPost.remote_id)
        .where(
            SocialPost.account_id == post.account.id,
            SocialPost.id != post.id,
            SocialPost.remote_id.is_not(None),
            SocialPost.published_at >= intent.at - KNOWN_SINCE,
        )
        .execution_options(include_deleted=True)
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
