"""Why a job has not run yet, as its row tells it."""

from datetime import UTC, datetime
from typing import Any, Literal, assert_never
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from intake.views.base import View
from models.history import find_job
from models.job import Job, JobState, JobWait, OutboxRow

Reason = Literal[
    "ended",
    "running",
    "stopping",
    "starting",
    "waiting_for_job",
    "delayed",
    "retrying",
    "entering_queue",
    "waiting_for_turn",
    "at_cap",
    "rate_limited",
    "paused",
    "no_workers",
]


class Explanation(View):
    """Why a job has not run yet, or what became of it."""

    id: UUID
    lane: str
    attempt: int
    """How many attempts have begun."""
    state: JobState
    reason: Reason
    explanation: str
    until: datetime | None = None
    """The earliest moment at which this changes by itself, where one is known."""
    jobs_before: int | None = None
    """Of the organization's own jobs in the queue, how many come first."""
    in_flight: int | None = None
    """How many of the organization's jobs of this lane run now."""


def explain_job(session: Session, job_id: UUID) -> Explanation | None:
    """Say why a job has not run yet, or return None when there is no such job."""
    unpublished = (
        select(OutboxRow.job_id)
        .where(OutboxRow.organization_id == Job.organization_id, OutboxRow.job_id == Job.id)
        .exists()
        .label("unpublished")
    )
    waits_for = (
        select(JobWait.after_id)
        .where(JobWait.organization_id == Job.organization_id, JobWait.job_id == Job.id)
        .scalar_subquery()
        .label("waits_for")
    )
    columns = (
        *(Job.id, Job.lane, Job.attempt, Job.state, Job.run_at, Job.cancel_requested),
        *(Job.error, unpublished, waits_for),
    )
    row: Any = session.execute(select(*columns).where(Job.id == job_id)).one_or_none()
    row = row or find_job(session, job_id, ("id", "lane", "attempt", "state", "error"))
    if row is None:
        return None
    reason, text = _reason(row)
    until = row.run_at if reason in {"delayed", "retrying"} else None
    return Explanation(
        id=row.id,
        lane=row.lane,
        attempt=row.attempt,
        state=row.state,
        reason=reason,
        explanation=text,
        until=until,
    )


def _reason(row: Any) -> tuple[Reason, str]:
    match state := JobState(row.state):
        case JobState.SUCCEEDED | JobState.DEAD | JobState.CANCELLED:
            cause = (row.error or {}).get("message")
            reason = f" Because {cause}." if state is JobState.CANCELLED and cause else ""
            return "ended", _ENDED[state] + reason
        case JobState.RUNNING if row.cancel_requested:
            return "stopping", "It was asked to stop and will at its next safe step."
        case JobState.RUNNING:
            return "running", f"Attempt {row.attempt} is running now."
        case JobState.QUEUED | JobState.SCHEDULED:
            return _waiting(row)
        case unreachable:
            assert_never(unreachable)


_ENDED = {
    JobState.SUCCEEDED: "It succeeded.",
    JobState.DEAD: "Its attempts are used up or its error was permanent; retry it once the cause is mended.",
    JobState.CANCELLED: "It was cancelled.",
}


def _waiting(row: Any) -> tuple[Reason, str]:
    if row.waits_for is not None:
        return "waiting_for_job", f"It begins once job {row.waits_for} has succeeded."
    if row.run_at is not None and row.run_at > datetime.now(UTC):
        moment = row.run_at.isoformat(timespec="seconds")
        if row.attempt > 0:
            return "retrying", f"Attempt {row.attempt} failed; the next one waits until {moment}."
        return "delayed", f"It was asked to wait until {moment}."
    if row.unpublished:
        return "entering_queue", "It is recorded and enters the queue shortly, or once the queue is back."
    return "waiting_for_turn", "It runs when it is your organization's turn and a worker is free."
