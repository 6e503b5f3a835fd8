"""Whose turn it is: posts of one account go out in the order of their times, accounts beside each other."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from models.job import Job, JobState
from models.social import PostState, SocialAccount, SocialPost

ON_THEIR_WAY = (PostState.QUEUED, PostState.PUBLISHING, PostState.UNKNOWN)
ALIVE = (JobState.SCHEDULED, JobState.QUEUED, JobState.RUNNING)

STEP = timedelta(milliseconds=100)
"""How long a post may take whose turn it is: so much is waited for each that goes first."""
LONGEST = timedelta(minutes=1)
MOST_COUNTED = 300
EARLY = timedelta(seconds=1)
"""Clocks may differ by so much: a job that comes this early need not come again."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Why a post may not go out yet, and when to look again."""

    reason: str
    after: timedelta


def find_wait(session: Session, post: SocialPost, account: SocialAccount) -> Wait | None:
    """Return what the post has to wait for; None when it is its turn. No worker is held meanwhile."""
    now = datetime.now(UTC)
    if post.state == PostState.QUEUED and post.scheduled_at and post.scheduled_at > now + EARLY:
        return Wait("it is scheduled for later", post.scheduled_at - now)
    until = account.rate_limited_until
    if until is not None and until > now:
        return Wait("the platform takes no more of this account for now", until - now)
    return _behind_others(session, post, now)


def _behind_others(session: Session, post: SocialPost, now: datetime) -> Wait | None:
    """Wait for earlier posts of the account that a living job is to publish: no other moves any more."""
    is_earlier = or_(
        SocialPost.scheduled_at < post.scheduled_at,
        (SocialPost.scheduled_at == post.scheduled_at) & (SocialPost.id < post.id),
    )
    earlier = (
        select(Job.run_at)
        .join(SocialPost, Job.id == SocialPost.job_id)
        .where(
            SocialPost.account_id == post.account_id,
            SocialPost.state.in_(ON_THEIR_WAY),
            Job.state.in_(ALIVE),
            is_earlier,
        )
        .limit(MOST_COUNTED)
        .subquery()
    )
    counted = select(func.count(), func.min(earlier.c.run_at)).select_from(earlier)
    count, comes_back_at = session.execute(counted).one()
    if count == 0:
        return None
    away = max(comes_back_at - now, timedelta(0)) if comes_back_at else timedelta(0)
    return Wait(f"{count} earlier posts of the account go first", min(max(count * STEP, away), LONGEST))
