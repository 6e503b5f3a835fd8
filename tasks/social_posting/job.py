"""The body of `social.publish_post`: commit the intent, call, commit what came of it; in doubt, probe."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NoReturn

import structlog

from models.social import AccountStatus, PostState
from tasks.catalog import PUBLISH_POST
from tasks.payloads import PublishPost
from tasks.social_posting.account import AccountTokens, hold_back, set_status
from tasks.social_posting.content import problems
from tasks.social_posting.error import (
    AccountBlockedError,
    AlreadyPublishedError,
    NoProbeError,
    PermanentContentError,
    PlatformError,
    RateLimitedError,
    ReauthError,
    StaleIntentError,
    StaleUploadsError,
    TryAgainError,
    UnknownOutcomeError,
)
from tasks.social_posting.follow import plan_metrics
from tasks.social_posting.media import UnknownMediumError
from tasks.social_posting.platform import Intent, Platform, Published
from tasks.social_posting.post import (
    NoSuchPostError,
    Post,
    PostChangedError,
    drop_intent,
    known_remote_ids,
    open_post,
    shown,
    write_cancelled,
    write_error,
    write_intent,
    write_published,
    write_upload,
)
from tasks.social_posting.registry import platform_of
from tasks.vault import get_vault
from worker.context import Completion, JobCancelledError, OutsideJob, PermanentJobError, RetryLaterError
from worker.job import runs

log = structlog.get_logger(__name__)

SETTLING = timedelta(seconds=3)
"""A call whose answer was lost may still be at work on the platform: probe no sooner."""

LISTED_WITHIN = timedelta(minutes=10)
"""A post that a platform has and does not list after so long is a person's to judge."""

SOON = timedelta(milliseconds=200)

REFUSED_STATES = {
    PostState.CANCELLED: "the post was cancelled",
    PostState.FAILED_PERMANENT: "the platform refused the post: edit it first",
    PostState.PARKED_UNCONFIRMED: "nobody knows whether the post is out: a person has to decide",
    PostState.REMOVING: "the post is being removed",
    PostState.REMOVED: "the post was removed",
}


@runs(PUBLISH_POST)
def publish(job: OutsideJob, payload: PublishPost) -> Completion:
    """Publish a post exactly once, however often this runs and wherever it is killed."""
    post = _open(job, payload)
    if post.published is not None and post.state is PostState.PUBLISHED:
        plan_metrics(job, post)
        return Completion(shown(post, post.published))
    if post.state in REFUSED_STATES:
        raise PermanentJobError(REFUSED_STATES[post.state])
    if post.wait is not None:
        raise RetryLaterError(post.wait.reason, after=post.wait.after)
    attempt = _prepare(job, post)
    published = attempt.settle() if post.state is PostState.UNKNOWN else None
    if published is None:
        published = attempt.send()
    with job.transaction() as session:
        write_published(session, post, published)
    plan_metrics(job, post)
    return Completion(shown(post, published))


def _open(job: OutsideJob, payload: PublishPost) -> Post:
    try:
        with job.transaction() as session:
            return open_post(session, job.claim, payload)
    except (NoSuchPostError, UnknownMediumError) as error:
        raise PermanentJobError(str(error)) from error


def _prepare(job: OutsideJob, post: Post) -> "_Attempt":
    """Refuse what cannot work before anything is sent; a post in doubt has been sent already."""
    try:
        platform = platform_of(post.account)
    except PermanentContentError as error:
        _refuse(job, post, PostState.FAILED_PERMANENT, error)
    if post.state is not PostState.UNKNOWN:
        wrong = problems(platform, post.content, platform.limits_of(post.account))
        if wrong:
            reasons = "; ".join(map(str, wrong))
            _refuse(job, post, PostState.FAILED_PERMANENT, PermanentContentError(reasons))
        if post.account_status is not AccountStatus.ACTIVE:
            unusable = ReauthError(f"the account is {post.account_status.value}: connect it again")
            _refuse(job, post, PostState.BLOCKED_REAUTH, unusable)
    return _Attempt(job, post, platform, AccountTokens(job.transaction, get_vault(), platform, post.account))


def _refuse(job: OutsideJob, post: Post, state: PostState, error: PlatformError) -> NoReturn:
    with job.transaction() as session:
        write_error(session, post, state, error)
    raise PermanentJobError(error.detail) from error


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One attempt at one post."""

    job: OutsideJob
    post: Post
    platform: Platform
    tokens: AccountTokens

    def settle(self) -> Published | None:
        """Find out whether an earlier attempt published; None is a certain no."""
        intent = self.post.intent
        assert intent is not None, "a post is in doubt only after its intent was committed"
        if not self.platform.can_probe:
            self._fail(
                NoProbeError("the platform cannot be asked whether the post is out"),
                after_error=PostState.UNKNOWN,
            )
        try:
            found = self._look(intent)
        except PlatformError as error:
            self._fail(error, after_error=PostState.UNKNOWN)
        log.info("probed a post of unknown outcome", post=str(self.post.id), found=found is not None)
        return found

    def send(self) -> Published:
        """Commit the intent, then call."""
        try:
            self.job.check()
            intent = self.post.intent or self.tokens.use(self._make_intent)
            with self.job.transaction() as session:
                write_intent(session, self.post, intent)
            return self._publish(intent)
        except PostChangedError as error:
            raise RetryLaterError("the post was changed meanwhile", after=SOON) from error
        except JobCancelledError:
            with self.job.transaction() as session:
                write_cancelled(session, self.post)
            raise
        except PlatformError as error:
            self._fail(error, after_error=PostState.QUEUED)

    def _make_intent(self, token: str) -> Intent:
        """Hand over the media and make what is to be sent; nothing is visible on the platform yet."""
        account, content = self.post.account, self.post.content
        uploads = list(self.post.uploads)
        for medium in content.media[len(uploads) :]:
            uploads.append(self.platform.upload(account, token, medium, count=len(content.media)))
            with self.job.transaction() as session:
                write_upload(session, self.post, uploads)
            self.job.check()
        return self.platform.prepare(account, token, content, uploads=uploads, at=datetime.now(UTC))

    def _publish(self, intent: Intent) -> Published:
        try:
            return self.tokens.use(partial(self._call, intent))
        except AlreadyPublishedError as error:
            found = self._look(intent)
            if found is None:
                raise self._judge_duplicate(intent, error) from error
            return found

    def _judge_duplicate(self, intent: Intent, error: AlreadyPublishedError) -> PlatformError:
        """Tell what a duplicate is that no probe finds: another's, unless ours may be out already."""
        if self.post.state is not PostState.UNKNOWN:
            return PermanentContentError(f"the same was posted before: {error.detail}")
        if datetime.now(UTC) - intent.at < LISTED_WITHIN:
            return UnknownOutcomeError("the platform has the same post and does not list it yet")
        return NoProbeError("the platform has the same post and does not list it")

    def _look(self, intent: Intent) -> Published | None:
        with self.job.transaction() as session:
            known = known_remote_ids(session, self.post, intent)
        return self.tokens.use(
            lambda token: self.platform.probe(self.post.account, token, intent, known=known)
        )

    def _call(self, intent: Intent, token: str) -> Published:
        """Call, if the job is still ours and wanted: whatever was sent before has certainly not published."""
        self.job.check()
        return self.platform.publish(self.post.account, token, intent)

    def _fail(self, error: PlatformError, *, after_error: PostState) -> NoReturn:
        """Record the error with the state it leaves, and raise what the engine shall do.

        Args:
            error: What the platform did.
            after_error: State of a post that can be tried again, or whose fate is as open as it was.
        """
        in_doubt = after_error is PostState.UNKNOWN
        match error:
            case UnknownOutcomeError():
                self._record(PostState.UNKNOWN, error)
                raise RetryLaterError(error.detail, after=SETTLING) from error
            case RateLimitedError(until=until):
                self._record(after_error, error)
                with self.job.transaction() as session:
                    hold_back(session, self.post.account.id, until)
                raise RetryLaterError(error.detail, after=_wait(until)) from error
            case TryAgainError(after=after):
                is_last = after is None and self.job.claim.attempt >= self.job.claim.max_attempts
                self._record(PostState.FAILED if is_last and not in_doubt else after_error, error)
                raise RetryLaterError(error.detail, after=after) from error
            case StaleIntentError() | StaleUploadsError():
                self._record(after_error, error)
                with self.job.transaction() as session:
                    drop_intent(session, self.post)
                raise RetryLaterError(error.detail) from error
            case NoProbeError():
                self._record(PostState.PARKED_UNCONFIRMED, error)
            case ReauthError():
                self._block(error, AccountStatus.NEEDS_REAUTH, after_error)
            case AccountBlockedError():
                self._block(error, AccountStatus.PAUSED, after_error)
            case _:
                self._record(after_error if in_doubt else PostState.FAILED_PERMANENT, error)
        raise PermanentJobError(error.detail) from error

    def _record(self, state: PostState, error: PlatformError) -> None:
        with self.job.transaction() as session:
            write_error(session, self.post, state, error)

    def _block(self, error: PlatformError, status: AccountStatus, after_error: PostState) -> None:
        in_doubt = after_error is PostState.UNKNOWN
        with self.job.transaction() as session:
            write_error(session, self.post, after_error if in_doubt else PostState.BLOCKED_REAUTH, error)
            set_status(session, self.post.account.id, status, error.detail)


def _wait(until: datetime) -> timedelta:
    return max(until - datetime.now(UTC), timedelta(seconds=1))
