"""The bodies of `social.fetch_metrics` and `social.delete_post`: what is done to a post that is out."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, TypeVar

from sqlalchemy import func, update
from sqlalchemy.orm import Session

from models.social import AccountStatus, PostState, SocialPost
from tasks.catalog import DELETE_POST, FETCH_METRICS
from tasks.payloads import DeletePost, FetchMetrics
from tasks.social_posting.account import AccountTokens, hold_back, set_status
from tasks.social_posting.error import (
    AccountBlockedError,
    NotOfferedError,
    PlatformError,
    PostGoneError,
    RateLimitedError,
    ReauthError,
    TryAgainError,
    UnknownOutcomeError,
)
from tasks.social_posting.follow import ROUNDS, plan_metrics
from tasks.social_posting.platform import Platform
from tasks.social_posting.post import DETAIL_LENGTH, Post, read_post
from tasks.social_posting.registry import platform_of
from tasks.vault import get_vault
from worker.context import Completion, OutsideJob, PermanentJobError, RetryLaterError
from worker.job import runs

T = TypeVar("T")
NOT_OUT = "the post is not published"


@runs(FETCH_METRICS)
def fetch_metrics(job: OutsideJob, payload: FetchMetrics) -> Completion:
    """Keep with the post what its platform counts of it, and plan the next fetch."""
    with job.transaction() as session:
        post = read_post(session, job.claim, payload.post_id)
    if post is None or post.published is None or post.state is not PostState.PUBLISHED:
        return Completion({"fetched": False, "reason": NOT_OUT})
    remote_id = post.published.remote_id
    try:
        counted = _ask(job, post, lambda platform, token: platform.metrics(post.account, token, remote_id))
    except (NotOfferedError, PostGoneError) as error:
        return Completion({"fetched": False, "reason": error.detail})
    metrics = {name: number for name, number in asdict(counted).items() if number is not None}
    with job.transaction() as session:
        session.execute(
            update(SocialPost)
            .where(SocialPost.id == post.id)
            .values(metrics=metrics, metrics_at=datetime.now(UTC))
            .execution_options(synchronize_session=False)
        )
    if payload.round + 1 < len(ROUNDS):
        plan_metrics(job, post, number=payload.round + 1)
    return Completion({"fetched": True, "metrics": metrics})


@runs(DELETE_POST)
def delete_post(job: OutsideJob, payload: DeletePost) -> Completion:
    """Take the post back from its platform; with `erase` forget what it said, too."""
    with job.transaction() as session:
        post = read_post(session, job.claim, payload.post_id)
    if post is None:
        return Completion({"removed": False, "reason": "there is no such post"})
    if post.published is not None and post.state in (PostState.PUBLISHED, PostState.REMOVING):
        remote_id = post.published.remote_id
        try:
            _ask(job, post, lambda platform, token: platform.delete(post.account, token, remote_id))
        except PostGoneError:
            pass
        except (NotOfferedError, ReauthError, AccountBlockedError) as error:
            _leave(job, post, error)
    with job.transaction() as session:
        _forget(session, post, erase=payload.erase)
    return Completion({"removed": True, "erased": payload.erase})


def _ask(job: OutsideJob, post: Post, call: Callable[[Platform, str], T]) -> T:
    """Make a call that can be repeated.

    Raises:
        RetryLaterError: The platform takes no call now, or nobody knows what became of this one.
    """
    platform = platform_of(post.account)
    tokens = AccountTokens(job.transaction, get_vault(), platform, post.account)
    try:
        return tokens.use(lambda token: call(platform, token))
    except RateLimitedError as error:
        with job.transaction() as session:
            hold_back(session, post.account.id, error.until)
        wait = max(error.until - datetime.now(UTC), timedelta(seconds=1))
        raise RetryLaterError(error.detail, after=wait) from error
    except (TryAgainError, UnknownOutcomeError) as error:
        raise RetryLaterError(error.detail, after=getattr(error, "after", None)) from error
    except ReauthError as error:
        _block(job, post, AccountStatus.NEEDS_REAUTH, error)
        raise
    except AccountBlockedError as error:
        _block(job, post, AccountStatus.PAUSED, error)
        raise


def _block(job: OutsideJob, post: Post, status: AccountStatus, error: PlatformError) -> None:
    with job.transaction() as session:
        set_status(session, post.account.id, status, error.detail)


def _leave(job: OutsideJob, post: Post, error: PlatformError) -> NoReturn:
    """Say that the post is still out, and why."""
    url = post.published.url if post.published else ""
    detail = f"not removed: {error.detail}; remove it by hand at {url}"
    with job.transaction() as session:
        session.execute(
            update(SocialPost)
            .where(SocialPost.id == post.id)
            .values(state=PostState.PUBLISHED, error_class=error.code, error_detail=detail[:DETAIL_LENGTH])
            .execution_options(synchronize_session=False)
        )
    raise PermanentJobError(detail) from error


def _forget(session: Session, post: Post, *, erase: bool) -> None:
    values: dict[str, Any] = {"state": PostState.REMOVED, "deleted_at": func.now()}
    if erase:
        values |= {
            "body": "",
            "media": [],
            "uploads": [],
            "frozen_body": None,
            "remote_url": None,
            "metrics": None,
            "error_detail": None,
        }
    session.execute(
        update(SocialPost)
        .where(SocialPost.id == post.id)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
