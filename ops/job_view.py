"""One job as an operator sees it: where it is, why it waits, what happened to it; never what it carries."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import redis
import structlog
from sqlalchemy import func, select

from config.celery import LANES
from intake.turn import refine
from intake.views.explanation import Explanation, explain_job
from intake.views.job import EventView, JobSummary, list_events
from models.history import find_job
from models.job import Job, JobState
from models.organization import Tenant
from models.session import Database, RelayDatabase, relay_session, tenant_session
from worker.fairshare.queue import FairQueue
from worker.fairshare.view import Explanation as Place
from worker.publish import Publisher, name_message
from worker.submit import cancel, retry

log = structlog.get_logger(__name__)

ATTEMPTS_TRIED = 8
"""The queue names a message by job and attempts made; so many are tried before the database is searched."""


@dataclass(frozen=True, slots=True)
class JobSight:
    """A job, why it has not run, and its story."""

    summary: JobSummary
    lane: str
    explanation: Explanation
    place: Place | None
    """Where it stands in the queue, if it does."""
    events: Sequence[EventView]
    error: str | None
    """Of its last attempt: type and message, as the organization reads them."""

    def document(self) -> dict[str, Any]:
        """Return everything as JSON holds it."""
        place = self.place
        return {
            **self.summary.model_dump(mode="json"),
            "lane": self.lane,
            "error": self.error,
            "why": self.explanation.model_dump(mode="json", include={"reason", "explanation", "until"}),
            "queue": None if place is None else place_document(place),
            "events": [event.model_dump(mode="json") for event in self.events],
        }


def place_document(place: Place) -> dict[str, Any]:
    """Return a place in the queue as JSON holds it."""
    average = place.average and place.average.total_seconds()
    return {
        "reason": place.reason,
        "jobs_before": place.jobs_before,
        "tenants_before": place.tenants_before,
        "in_flight": place.in_flight,
        "average_run_s": average,
        "workers_seen": place.workers_seen and place.workers_seen.isoformat(),
    }


def look_at_job(
    database: Database, client: redis.Redis, organization_id: UUID, job_id: UUID
) -> JobSight | None:
    """Return what is known of a job, or None when the organization has no such job."""
    columns = (*JobSummary.model_fields, "lane", "error")
    with tenant_session(database, organization_id) as session:
        row = find_job(session, job_id, columns)
        explanation = explain_job(session, job_id)
        events = list_events(session, job_id)
    if row is None or explanation is None:
        return None
    return JobSight(
        JobSummary.model_validate(row),
        row.lane,
        refine(explanation, client),
        find_place(client, row.lane, job_id, row.attempt),
        events,
        describe_error(row.error),
    )


def retry_as(
    database: Database, tenant: Tenant, job_id: UUID, *, actor: str, publisher: Publisher
) -> JobState:
    """Give a job another life, as `worker.submit.retry` does; the audit log has who asked for it."""
    _record(database, tenant, "jobs.retry", job_id, actor=actor)
    return retry(database, tenant, job_id, publisher=publisher)


def cancel_as(
    database: Database, tenant: Tenant, job_id: UUID, *, actor: str, publisher: Publisher
) -> JobState:
    """Cancel a job, as `worker.submit.cancel` does; the audit log has who asked for it."""
    _record(database, tenant, "jobs.cancel", job_id, actor=actor)
    return cancel(database, tenant, job_id, publisher=publisher)


def _record(database: Database, tenant: Tenant, action: str, job_id: UUID, *, actor: str) -> None:
    with tenant_session(database, tenant.organization_id, actor=actor) as session:
        session.execute(select(func.app.audit(action, str(job_id))))


def describe_error(error: dict[str, Any] | None) -> str | None:
    """Return an error's type and message."""
    return f"{error.get('type', '')}: {error.get('message', '')}" if error else None


def find_place(client: redis.Redis, lane: str, job_id: UUID, attempts_made: int) -> Place | None:
    """Return where a job's next attempt stands in the queue; None when it does not, or Redis is away."""
    try:
        return FairQueue(client, lane).explain(name_message(job_id, attempts_made))
    except redis.RedisError as error:
        log.warning("Redis is away", error=type(error).__name__)
        return None


def find_owner(client: redis.Redis, relay: RelayDatabase | None, job_id: UUID) -> str | None:
    """Return whose job it is: the queue knows of those that wait or run, the relay of all that live."""
    for lane in LANES:
        for attempts_made in range(ATTEMPTS_TRIED):
            place = find_place(client, lane, job_id, attempts_made)
            if place is not None:
                return place.tenant
    if relay is None:
        return None
    with relay_session(relay) as session:
        owner = session.scalars(select(Job.organization_id).where(Job.id == job_id).limit(1)).one_or_none()
    return None if owner is None else str(owner)
