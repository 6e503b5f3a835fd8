"""What a tenant sees of its dead letters: what died, of which error, and the story of every attempt."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session, aliased

from intake.views.base import View
from intake.views.job import EventView, list_events
from models.job import DeadLetter, Job, JobState
from worker.dead_letter import DeadLetterFilter

MOST_GROUPS = 200
ATTEMPT_LOST: dict[str, Any] = {"type": "LeaseLost", "message": "its worker died or lost touch"}


class DeadLetterSummary(View):
    """A job that nothing tries any more until somebody says so."""

    job_id: UUID
    kind: str
    attempts: int
    error: dict[str, Any] | None
    """Of the last attempt."""
    fingerprint: str
    """The same for errors that differ in numbers, ids and names only."""
    died_at: datetime


class AttemptView(View):
    """One attempt of a job."""

    attempt: int
    began_at: datetime | None
    ended_at: datetime | None
    error: dict[str, Any] | None
    retry_at: datetime | None
    """When the next attempt was to begin."""


class DeadLetterView(DeadLetterSummary):
    """A dead letter with what went in and what became of each attempt."""

    payload: dict[str, Any]
    created_at: datetime
    story: list[AttemptView]


class DeadLetterGroup(View):
    """Dead letters of one kind and one error."""

    kind: str
    fingerprint: str
    count: int
    first_died_at: datetime
    last_died_at: datetime
    error: dict[str, Any] | None
    """Of one of them."""


_SUMMARY = [getattr(DeadLetter, name) for name in DeadLetterSummary.model_fields]


def list_dead_letters(
    session: Session, wanted: DeadLetterFilter, *, before: UUID | None, limit: int
) -> Sequence[Row[Any]]:
    """Return dead letters, those of the newest jobs first."""
    query = select(*_SUMMARY).where(*wanted.conditions())
    if before is not None:
        query = query.where(DeadLetter.job_id < before)
    return session.execute(query.order_by(DeadLetter.job_id.desc()).limit(limit)).all()


def find_dead_letter(session: Session, job_id: UUID) -> DeadLetterView | None:
    """Return a dead letter with its whole story, or None."""
    same = (Job.organization_id == DeadLetter.organization_id) & (Job.id == DeadLetter.job_id)
    query = select(*_SUMMARY, Job.payload, Job.created_at).join(Job, same).where(DeadLetter.job_id == job_id)
    row = session.execute(query).one_or_none()
    if row is None:
        return None
    return DeadLetterView(**row._asdict(), story=attempts_of(list_events(session, job_id)))


def group_dead_letters(session: Session, wanted: DeadLetterFilter) -> Sequence[Row[Any]]:
    """Count dead letters by kind and error, the most frequent first."""
    groups = (
        select(
            DeadLetter.organization_id,
            DeadLetter.kind,
            DeadLetter.fingerprint,
            func.count().label("count"),
            func.min(DeadLetter.died_at).label("first_died_at"),
            func.max(DeadLetter.died_at).label("last_died_at"),
        )
        .where(*wanted.conditions())
        .group_by(DeadLetter.organization_id, DeadLetter.kind, DeadLetter.fingerprint)
        .order_by(func.count().desc(), DeadLetter.kind, DeadLetter.fingerprint)
        .limit(MOST_GROUPS)
        .subquery()
    )
    one = aliased(DeadLetter)
    example = (
        select(one.error)
        .where(
            one.organization_id == groups.c.organization_id,
            one.fingerprint == groups.c.fingerprint,
            one.kind == groups.c.kind,
        )
        .order_by(one.job_id.desc())
        .limit(1)
        .scalar_subquery()
        .label("error")
    )
    ordered = select(groups, example).order_by(groups.c.count.desc(), groups.c.kind, groups.c.fingerprint)
    return session.execute(ordered).all()


def attempts_of(events: Sequence[EventView]) -> list[AttemptView]:
    """Read the attempts off a job's events, oldest first."""
    attempts: list[AttemptView] = []
    for event in events:
        detail = event.detail or {}
        if event.state is JobState.RUNNING and "cancel_requested" not in detail:
            attempts.append(
                AttemptView(
                    attempt=event.attempt, began_at=event.at, ended_at=None, error=None, retry_at=None
                )
            )
        elif attempts and attempts[-1].ended_at is None and event.state is not JobState.RUNNING:
            retry_at = detail.pop("retry_at", None)
            ended = {"ended_at": event.at, "error": _error(detail), "retry_at": retry_at}
            attempts[-1] = AttemptView.model_validate(attempts[-1].model_dump() | ended)
    return attempts


def _error(detail: dict[str, Any]) -> dict[str, Any] | None:
    return ATTEMPT_LOST if "lease_lost" in detail else detail or None
