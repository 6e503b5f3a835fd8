"""Reads jobs wherever they are: among the living, or in the history of those that have finished."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, select
from sqlalchemy.orm import Session

from models.job import DeadLetter, Job, JobLease, JobState, PastJob

LIVING_STATES = frozenset({JobState.SCHEDULED, JobState.QUEUED, JobState.RUNNING})


def find_job(session: Session, job_id: UUID, columns: Sequence[str]) -> Row[Any] | None:
    """Return the columns named of a job, or None."""
    for place in (Job, PastJob):
        row = session.execute(select(*_named(place, columns)).where(place.id == job_id)).one_or_none()
        if row is not None:
            return row
    return None


def list_jobs(  # noqa: PLR0913 - one parameter per filter
    session: Session,
    columns: Sequence[str],
    *,
    state: JobState | None,
    kind: str | None,
    before: UUID | None,
    limit: int,
) -> Sequence[Row[Any]]:
    """Return the columns named (``id`` among them) of the newest *limit* jobs, newest first.

    Living jobs carry no index on their state. Running and dead ones are found through the narrow tables that
    hold exactly these; for the other states Postgres walks the primary key backwards until the page is full,
    through little else than living jobs. The history has an index for each filter.
    """
    rows = list(session.execute(_living(columns, state, kind, before).limit(limit)))
    if state not in LIVING_STATES:
        rows += session.execute(_past(columns, state, kind, before).limit(limit))
        rows.sort(key=attrgetter("id"), reverse=True)
    return rows[:limit]


def _living(
    columns: Sequence[str], state: JobState | None, kind: str | None, before: UUID | None
) -> Select[Any]:
    query, order = select(*_named(Job, columns)), Job.id
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
    return query.order_by(order.desc())


def _past(
    columns: Sequence[str], state: JobState | None, kind: str | None, before: UUID | None
) -> Select[Any]:
    query = select(*_named(PastJob, columns)).order_by(PastJob.id.desc())
    if state is not None:
        query = query.where(PastJob.state == state)
    if kind is not None:
        query = query.where(PastJob.kind == kind)
    if before is not None:
        query = query.where(PastJob.id < before)
    return query


def _named(place: type[Job | PastJob], columns: Sequence[str]) -> list[Any]:
    return [getattr(place, name) for name in columns]


def _through(query: Select[Any], narrow: type[JobLease | DeadLetter]) -> Select[Any]:
    same = (narrow.organization_id == Job.organization_id) & (narrow.job_id == Job.id)
    return query.join_from(narrow, Job, same)
