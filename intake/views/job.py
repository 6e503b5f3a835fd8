"""What a tenant sees of its jobs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from intake.views.base import View
from models import history
from models.job import JobEvent, JobState

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
    expires_at: datetime | None
    """What has not begun by then is cancelled."""
    after_id: UUID | None
    """The job that has to succeed first."""


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


def find_job(session: Session, job_id: UUID) -> Row[Any] | None:
    """Return the job in full, or None."""
    return history.find_job(session, job_id, tuple(JobView.model_fields))


def list_jobs(
    session: Session, *, state: JobState | None, kind: str | None, before: UUID | None, limit: int
) -> Sequence[Row[Any]]:
    """Return jobs, newest first."""
    columns = tuple(JobSummary.model_fields)
    return history.list_jobs(session, columns, state=state, kind=kind, before=before, limit=limit)


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
