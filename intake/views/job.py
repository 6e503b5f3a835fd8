"""What a tenant sees of its jobs."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal, assert_never
from uuid import UUID

from sqlalchemy import Row, Select, select
from sqlalchemy.orm import Session

from intake.views.base import View
from models.job import DeadLetter, Job, JobEvent, JobLease, JobState, OutboxRow

MOST_EVENTS = 1_000
HIDDEN_DETAILS = frozenset({"worker"})
"""Which machine ran it is the operator's business."""


class JobSummary(View):
    """A job without what went in and what came out."""

    id: UUID
    kind: str
    state: JobState
    priority: int
    attempt: int
    """How many attempts have begun."""
    max_attempts: int
    created_at: datetime
    run_at: datetime | None
    """Not before this moment: as submitted, or as a retry set it."""
    started_at: datetime | None
    """Begin of the latest attempt."""
    finished_at: datetime | None
    cancel_requested: bool


class JobView(JobSummary):
    """A job with what went in and what came out."""

    payload: dict[str, Any]
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    """Of the latest attempt, unless it succeeded."""


class EventView(View):
    """One change of a job's state."""

    at: datetime
    state: JobState
    attempt: int
    detail: dict[str, Any] | None


class Explanation(View):
    """Why a job has not run yet, or what became of it."""

    id: UUID
    state: JobState
    reason: Literal[
        "ended", "running", "stopping", "delayed", "retrying", "entering_queue", "waiting_for_turn"
    ]
    explanation: str
    until: datetime | None = None
    """The earliest moment at which this changes by itself, where one is known."""


_SUMMARY = [getattr(Job, name) for name in JobSummary.model_fields]
_FULL = [getattr(Job, name) for name in JobView.model_fields]


def find_job(session: Session, job_id: UUID) -> Row[Any] | None:
    """Return the job in full, or None."""
    return session.execute(select(*_FULL).where(Job.id == job_id)).one_or_none()


def list_jobs(
    session: Session, *, state: JobState | None, kind: str | None, before: UUID | None, limit: int
) -> Sequence[Row[Any]]:
    """Return jobs, newest first.

    Jobs carry no index on their state. Running and dead ones are found through the narrow tables that hold
    exactly these; for the other states Postgres walks the primary key backwards until the page is full.
    """
    query = select(*_SUMMARY)
    order = Job.id
    match state:
        case None:
            pass
        case JobState.RUNNING:
            query, order = _through(query, JobLease), JobLease.job_id
        case JobState.DEAD:
            query, order = _through(query, DeadLetter), DeadLetter.job_id
        case _:
            query = query.where(Job.state == state)
    if kind is not None:
        query = query.where(Job.kind == kind)
    if before is not None:
        query = query.where(order < before)
    return session.execute(query.order_by(order.desc()).limit(limit)).all()


def _through(query: Select[Any], narrow: type[JobLease | DeadLetter]) -> Select[Any]:
    same = (narrow.organization_id == Job.organization_id) & (narrow.job_id == Job.id)
    return query.join_from(narrow, Job, same)


def list_events(session: Session, job_id: UUID) -> list[EventView]:
    """Return what happened to a job, oldest first."""
    query = (
        select(JobEvent.at, JobEvent.state, JobEvent.attempt, JobEvent.detail)
        .where(JobEvent.job_id == job_id)
        .order_by(JobEvent.at, JobEvent.id)
        .limit(MOST_EVENTS)
    )
    return [_event(row) for row in session.execute(query)]


def _event(row: Row[Any]) -> EventView:
    detail = {name: value for name, value in (row.detail or {}).items() if name not in HIDDEN_DETAILS}
    return EventView(at=row.at, state=row.state, attempt=row.attempt, detail=detail or None)


def explain_job(session: Session, job_id: UUID) -> Explanation | None:
    """Say why a job has not run yet, or return None when there is no such job."""
    unpublished = (
        select(OutboxRow.job_id)
        .where(OutboxRow.organization_id == Job.organization_id, OutboxRow.job_id == Job.id)
        .exists()
    )
    query = select(
        Job.id, Job.state, Job.attempt, Job.run_at, Job.cancel_requested, unpublished.label("unpublished")
    ).where(Job.id == job_id)
    row: Any = session.execute(query).one_or_none()
    return None if row is None else _explain(row)


def _explain(row: Any) -> Explanation:
    state = JobState(row.state)
    match state:
        case JobState.SUCCEEDED | JobState.DEAD | JobState.CANCELLED:
            return Explanation(id=row.id, state=state, reason="ended", explanation=_ENDED[state])
        case JobState.RUNNING if row.cancel_requested:
            text = "It was asked to stop and will at its next safe step."
            return Explanation(id=row.id, state=state, reason="stopping", explanation=text)
        case JobState.RUNNING:
            text = f"Attempt {row.attempt} is running now."
            return Explanation(id=row.id, state=state, reason="running", explanation=text)
        case JobState.QUEUED | JobState.SCHEDULED:
            return _explain_waiting(row, state)
        case unreachable:
            assert_never(unreachable)


_ENDED = {
    JobState.SUCCEEDED: "It succeeded.",
    JobState.DEAD: "Its attempts are used up or its error was permanent; retry it once the cause is mended.",
    JobState.CANCELLED: "It was cancelled.",
}


def _explain_waiting(row: Any, state: JobState) -> Explanation:
    if row.run_at is not None and row.run_at > datetime.now(UTC):
        retrying = row.attempt > 0
        why = f"Attempt {row.attempt} failed; the next one waits" if retrying else "It was asked to wait"
        return Explanation(
            id=row.id,
            state=state,
            reason="retrying" if retrying else "delayed",
            explanation=f"{why} until {row.run_at.isoformat(timespec='seconds')}.",
            until=row.run_at,
        )
    if row.unpublished:
        text = "It is recorded and enters the queue shortly, or once the queue's server is back."
        return Explanation(id=row.id, state=state, reason="entering_queue", explanation=text)
    text = "It is in the queue and runs when it is your organization's turn and a worker is free."
    return Explanation(id=row.id, state=state, reason="waiting_for_turn", explanation=text)
