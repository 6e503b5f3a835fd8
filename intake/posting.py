"""Write, queue, change and cancel posts: what the routes do with the database and the queue."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from fastapi import Request
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from intake.auth import Caller
from intake.post_body import Decision, PostBody, PostChange, refuse_fields
from intake.problem import ConflictError, NotFoundError
from intake.resource.etag import require_match
from intake.views.social import POST_COLUMNS, PostView, PostWarning, WrittenPost, find_post
from models.session import tenant_session
from models.social import EDITABLE_STATES, AccountStatus, PostState, SocialAccount, SocialPost
from tasks.catalog import DELETE_POST, PUBLISH_POST
from tasks.payloads import DeletePost, PublishPost
from tasks.social_posting.account import describe
from tasks.social_posting.content import Content, problems
from tasks.social_posting.media import UnknownMediumError, attach, opened
from tasks.social_posting.registry import platform_of
from worker.refusal import SubmitError
from worker.submit import JobNotFoundError, JobStateError, Submission, SubmittedJob, cancel, submit

ALIKE_WITHIN = timedelta(hours=24)
CLOSE = timedelta(hours=1)
MOST_COMPARED = 200
FORGOTTEN: dict[str, Any] = {
    "provider_key": None,
    "frozen_body": None,
    "publishing_at": None,
    "uploads": [],
    "error_class": None,
    "error_detail": None,
}
"""What was made of a text that is no longer the post's."""
DOUBTFUL = (PostState.UNKNOWN, PostState.PARKED_UNCONFIRMED)


class Desk:
    """Handles one caller's posts within one request."""

    def __init__(self, request: Request, caller: Caller) -> None:
        self._request = request
        self._caller = caller
        self._database = request.app.state.database
        self._organization_id = caller.tenant.organization_id

    def write(
        self, bodies: Sequence[PostBody], *, key: str | None = None, group_id: UUID | None = None
    ) -> list[WrittenPost]:
        """Check and store posts, all or none; have those with a moment published."""
        with self._session() as session:
            written = [self._store(session, body, key, group_id) for body in bodies]
        for post_id, moment, _ in written:
            if moment is not None:
                self._first(post_id, moment, [each[0] for each in written])
        with self._session() as session:
            return [WrittenPost.of(_row(session, post_id), warnings) for post_id, _, warnings in written]

    def _store(
        self, session: Session, body: PostBody, key: str | None, group_id: UUID | None
    ) -> tuple[UUID, datetime | None, list[PostWarning]]:
        account = _account(session, body.account_id)
        moment = body.moment(self._caller.tenant)
        media = _checked(session, account, body.text, body.media)
        warnings = _warnings(session, account, text=body.text, moment=moment, but=None)
        values = {
            "organization_id": self._organization_id,
            "id": uuid7(),
            "account_id": account.id,
            "campaign_id": body.campaign_id,
            "group_id": group_id,
            "platform": account.platform,
            "body": body.text,
            "media": media,
            "scheduled_at": moment,
            "request_key": key,
            "request_fingerprint": body.fingerprint(),
        }
        made = session.scalars(
            insert(SocialPost).values(**values).on_conflict_do_nothing().returning(SocialPost.id)
        ).one_or_none()
        if made is not None:
            return made, moment, warnings
        known = _replayed(session, body, key)
        # What came of it since is not undone: only a post that never got its job gets it now.
        return known.id, known.scheduled_at if known.state == PostState.DRAFT else None, warnings

    def _first(self, post_id: UUID, moment: datetime, together: Sequence[UUID]) -> None:
        """Queue a new post. When its job is refused, none of those written together stays."""
        try:
            self.queue(post_id, moment)
        except SubmitError:
            with self._session() as session:
                session.execute(
                    update(SocialPost)
                    .where(SocialPost.id.in_(together), SocialPost.state == PostState.DRAFT)
                    .values(deleted_at=func.now(), request_key=None)
                )
            raise

    def queue(self, post_id: UUID, moment: datetime) -> None:
        """Submit the job that publishes the post as it is now; the same job when the request is repeated."""
        with self._session() as session:
            revision = session.scalars(select(SocialPost.revision).where(SocialPost.id == post_id)).one()
        job = self._submit(
            Submission(
                kind=PUBLISH_POST,
                payload=PublishPost(post_id=post_id),
                run_at=moment,
                idempotency_key=f"post/{post_id}/{revision}",
            )
        )
        with self._session() as session:
            session.execute(
                update(SocialPost)
                .where(
                    SocialPost.id == post_id,
                    SocialPost.revision == revision,
                    SocialPost.state == PostState.DRAFT,
                )
                .values(state=PostState.QUEUED, job_id=job.id)
            )

    def _submit(self, submission: Submission) -> SubmittedJob:
        [job] = submit(
            self._database,
            self._caller.tenant,
            [submission],
            publisher=self._request.app.state.publisher,
            requested_by=self._caller.user_uuid,
            request_id=self._request.state.request_id,
        )
        return job

    def change(self, post_id: UUID, change: PostChange, *, if_match: str | None = None) -> WrittenPost:
        """Edit a post of which nothing is on its way."""
        with self._session() as session:
            post = _editable(session, post_id, if_match=if_match)
            account = _account(session, post.account_id)
            given = change.model_fields_set
            text = change.text if change.text is not None else post.body
            if "media" in given or "text" in given:
                media = None if change.media is None else change.media
                kept = post.media if media is None else _attached(session, media)
                _refuse_problems(account, text, kept)
                post.body, post.media = text, kept
            if "campaign_id" in given:
                post.campaign_id = change.campaign_id
            if "scheduled_at" in given:
                post.scheduled_at = change.moment(self._caller.tenant)
            was_queued, old_job = post.state == PostState.QUEUED, post.job_id
            moment = post.scheduled_at if was_queued or "scheduled_at" in given else None
            warnings = _warnings(session, account, text=post.body, moment=moment, but=post_id)
            _begin_again(post)
        self._requeue(post_id, moment, old_job)
        with self._session() as session:
            return WrittenPost.of(_row(session, post_id), warnings)

    def _requeue(self, post_id: UUID, moment: datetime | None, old_job: UUID | None) -> None:
        if moment is not None:
            self.queue(post_id, moment)
        if old_job is not None:
            self._withdraw(old_job)

    def _withdraw(self, job_id: UUID) -> None:
        """Cancel a job that has nothing to do any more; one that runs finds that out by itself."""
        try:
            cancel(self._database, self._caller.tenant, job_id, publisher=self._request.app.state.publisher)
        except (JobNotFoundError, JobStateError):
            return

    def publish(self, post_id: UUID) -> WrittenPost:
        """Have a post published as soon as it is its account's turn."""
        now = datetime.now(UTC)
        with self._session() as session:
            post = _editable(session, post_id)
            account = _account(session, post.account_id)
            _refuse_problems(account, post.body, post.media)
            warnings = _warnings(session, account, text=post.body, moment=now, but=post_id)
            old_job = post.job_id
            post.scheduled_at = now
            _begin_again(post)
        self._requeue(post_id, now, old_job)
        with self._session() as session:
            return WrittenPost.of(_row(session, post_id), warnings)

    def cancel(self, post_id: UUID) -> WrittenPost:
        """Let a post not go out."""
        with self._session() as session:
            post = _editable(session, post_id)
            post.state, post.revision, old_job = PostState.CANCELLED, post.revision + 1, post.job_id
        if old_job is not None:
            self._withdraw(old_job)
        with self._session() as session:
            return WrittenPost.of(_row(session, post_id), [])

    def decide(self, post_id: UUID, decision: Decision) -> WrittenPost:
        """Record what a person found out about a post of unknown fate."""
        with self._session() as session:
            post = _locked(session, post_id)
            if post.state not in DOUBTFUL:
                raise ConflictError(
                    "post-state", f"The post is {post.state}: its fate is known.", state=post.state
                )
            post.decided_by, post.decided_at = self._caller.user_id, datetime.now(UTC)
            post.error_class = post.error_detail = None
            post.revision += 1
            old_job = post.job_id
            if decision.published:
                post.state, post.published_at = PostState.PUBLISHED, post.publishing_at or post.decided_at
                post.remote_url = str(decision.url)
                post.remote_id = decision.remote_id or str(decision.url).rstrip("/").rpartition("/")[2]
            else:
                # The intent stays: where the platform takes our key, a wrong decision makes no second post.
                post.state = PostState.DRAFT if decision.post_again else PostState.CANCELLED
                post.scheduled_at = post.decided_at
            again = post.decided_at if decision.post_again else None
        self._requeue(post_id, again, old_job)
        with self._session() as session:
            return WrittenPost.of(_row(session, post_id), [])

    def delete(self, post_id: UUID, *, erase: bool, if_match: str | None = None) -> WrittenPost:
        """Remove a post; one that is out by a job that takes it back from its platform."""
        with self._session() as session:
            post = _locked(session, post_id, if_match=if_match)
            if post.state in (*DOUBTFUL, PostState.PUBLISHING):
                advice = "wait for it, or say what became of it (POST .../decision)"
                raise ConflictError("post-state", f"The post is {post.state}: {advice}.", state=post.state)
            is_out, old_job = post.state in (PostState.PUBLISHED, PostState.REMOVING), post.job_id
            if is_out:
                post.state = PostState.REMOVING
            else:
                post.state, post.revision = PostState.REMOVED, post.revision + 1
                post.deleted_at = datetime.now(UTC)
                if erase:
                    post.body, post.media = "", []
                    _forget(post)
            session.flush()
            row = _row(session, post_id, deleted=True)
        if not is_out and old_job is not None:
            self._withdraw(old_job)
        if is_out:
            key = f"delete/{post_id}/{'erase' if erase else 'keep'}/{row.error_class or ''}"
            self._submit(
                Submission(DELETE_POST, DeletePost(post_id=post_id, erase=erase), idempotency_key=key)
            )
        return WrittenPost.of(row, [])

    def _session(self) -> Any:
        return tenant_session(self._database, self._organization_id)


def _row(session: Session, post_id: UUID, *, deleted: bool = False) -> Any:
    if not deleted:
        return find_post(session, post_id)
    statement = select(*POST_COLUMNS).where(SocialPost.id == post_id)
    return session.execute(statement.execution_options(include_deleted=True)).one()


def _account(session: Session, account_id: UUID) -> SocialAccount:
    account = session.scalars(select(SocialAccount).where(SocialAccount.id == account_id)).one_or_none()
    if account is None:
        raise refuse_fields(("account_id", "is no account of yours"))
    return account


def _checked(session: Session, account: SocialAccount, text: str, media: Any) -> list[dict[str, Any]]:
    attached = _attached(session, media)
    _refuse_problems(account, text, attached)
    return attached


def _attached(session: Session, media: Any) -> list[dict[str, Any]]:
    try:
        return attach(session, media)
    except UnknownMediumError as error:
        raise refuse_fields((f"media[{error.index}].asset_id", "is no medium of your library")) from None


def _refuse_problems(account: SocialAccount, text: str, media: Sequence[Any]) -> None:
    """Refuse before it is accepted what the platform would refuse."""
    described = describe(account)
    platform = platform_of(described)
    content = Content(text, opened(account.organization_id, media))
    found = problems(platform, content, platform.limits_of(described))
    if found:
        raise refuse_fields(*((each.field, each.message) for each in found))


def _warnings(
    session: Session, account: SocialAccount, *, text: str, moment: datetime | None, but: UUID | None
) -> list[PostWarning]:
    found = []
    if account.status != AccountStatus.ACTIVE:
        message = f"The account is {account.status}: nothing goes out until that is settled."
        found.append(PostWarning(code="account_not_active", message=message))
    at = moment or datetime.now(UTC)
    others = session.execute(
        select(SocialPost.id, SocialPost.body, SocialPost.scheduled_at)
        .where(
            SocialPost.account_id == account.id,
            SocialPost.state.not_in((PostState.CANCELLED, PostState.FAILED_PERMANENT, PostState.REMOVED)),
            SocialPost.scheduled_at.between(at - ALIKE_WITHIN, at + ALIKE_WITHIN),
        )
        .order_by(func.abs(func.extract("epoch", SocialPost.scheduled_at - at)))
        .limit(MOST_COMPARED)
    ).all()
    others = [each for each in others if each.id != but]
    alike = next((each for each in others if each.body.split() == text.split()), None)
    if alike is not None:
        when = alike.scheduled_at.isoformat(timespec="minutes")
        message = f"The same text goes to this account at {when}; platforms refuse or punish repetition."
        found.append(PostWarning(code="duplicate", message=message, post_id=alike.id))
    close = next((each for each in others if abs(each.scheduled_at - at) < CLOSE and each != alike), None)
    if close is not None and moment is not None:
        when = close.scheduled_at.isoformat(timespec="minutes")
        message = f"Another post goes to this account within the hour, at {when}."
        found.append(PostWarning(code="same_hour", message=message, post_id=close.id))
    return found


def _replayed(session: Session, body: PostBody, key: str | None) -> SocialPost:
    """Return the post that the same request has written before."""
    known = session.scalars(
        select(SocialPost).where(SocialPost.request_key == key, SocialPost.account_id == body.account_id)
    ).one_or_none()
    if known is None or known.request_fingerprint != body.fingerprint():
        raise ConflictError("idempotency-conflict", f"Idempotency-Key {key!r} was used with another body.")
    return known


def _locked(session: Session, post_id: UUID, *, if_match: str | None = None) -> SocialPost:
    post = session.scalars(select(SocialPost).where(SocialPost.id == post_id).with_for_update()).one_or_none()
    if post is None:
        raise NotFoundError("post")
    require_match(if_match, PostView.model_validate(post))
    return post


def _editable(session: Session, post_id: UUID, *, if_match: str | None = None) -> SocialPost:
    post = _locked(session, post_id, if_match=if_match)
    if post.state not in EDITABLE_STATES:
        raise ConflictError(
            "post-state", f"The post is {post.state}: publishing has begun.", state=post.state
        )
    return post


def _begin_again(post: SocialPost) -> None:
    """Make it a draft that no earlier attempt may publish as it was."""
    post.state, post.job_id, post.revision = PostState.DRAFT, None, post.revision + 1
    _forget(post)


def _forget(post: SocialPost) -> None:
    for name, value in FORGOTTEN.items():
        setattr(post, name, value)
