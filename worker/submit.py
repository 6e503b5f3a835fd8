"""Submit jobs: record them with their quota in one transaction, then publish what was recorded."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import methodcaller
from typing import Any
from uuid import UUID

import psycopg
import structlog
from psycopg.types.json import Jsonb
from pydantic import BaseModel
from sqlalchemy import select
from uuid_utils.compat import uuid7

from config.settings import get_settings
from models.job import IdempotencyKey, JobState
from models.organization import Tenant
from models.session import Database, call, tenant_session
from models.usage import billing_period
from worker.backlog import Excess, find_excess
from worker.job import JobKind
from worker.publish import (
    BrokerAwayError,
    Publisher,
    Waiting,
    get_publisher,
    name_message,
    publish_recorded,
)
from worker.refusal import (
    BacklogFullError,
    FeatureNotInPlanError,
    WrongRegionError,
    translated,
)
from worker.tracing import originate, span

log = structlog.get_logger(__name__)

AS_JSON = methodcaller("model_dump_json")
JOBS_A_LINE = 100


class JobNotFoundError(LookupError):
    """The tenant has no such job."""


class JobStateError(Exception):
    """The job's state does not allow it."""

    def __init__(self, state: str) -> None:
        super().__init__(f"the job is {state}")
        self.state = state


@dataclass(frozen=True, slots=True)
class Submission:
    """One job as its caller wants it."""

    kind: JobKind[Any]
    payload: BaseModel
    run_at: datetime | None = None
    priority: int = 0
    """-10 to 10; a head start in seconds over the tenant's own jobs."""
    idempotency_key: str | None = None
    expires_at: datetime | None = None
    """No attempt begins after this moment; a job that waits then is cancelled."""
    after: UUID | int | None = None
    """The job that must succeed first: its id, or its place (from 0) earlier in the same submission."""

    def fingerprint(self) -> str:
        """Hash everything that makes two submissions the same."""
        content = [
            self.kind.name,
            self.payload.model_dump(mode="json"),
            self.run_at.isoformat() if self.run_at else None,
            self.priority,
            self.expires_at.isoformat() if self.expires_at else None,
            str(self.after),
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class SubmittedJob:
    """One recorded job."""

    id: UUID
    kind: str
    state: str
    created_at: datetime
    run_at: datetime | None
    replayed: bool
    """The idempotency key was known: this is the job it made."""
    waits: bool = False
    """Another job must succeed first; then it is published."""


def submit(  # noqa: PLR0913 - who asks and where it goes are apart from what is asked
    database: Database,
    tenant: Tenant,
    submissions: Sequence[Submission],
    *,
    publisher: Publisher | None = None,
    requested_by: UUID | None = None,
    request_id: str | None = None,
) -> list[SubmittedJob]:
    """Record all of *submissions* or none, then publish; answers in their order.

    Redis being away refuses nothing: the relay publishes what stands in the outbox.

    Raises:
        SubmitError: One of its subclasses says why nothing was recorded.
    """
    terms = tenant.terms
    for submission in submissions:
        feature = submission.kind.feature
        if feature and not terms.offers(feature):
            raise FeatureNotInPlanError(feature, tenant.plan)
    publisher = publisher or get_publisher()
    refuse_excess(database, publisher, tenant, submissions)
    with span("record", jobs=len(submissions)):
        recorded = record(database, tenant, submissions, requested_by=requested_by, request_id=request_id)
    new = [(job.id, job.kind) for job in recorded if not job.replayed]
    traceparents = originate(database, tenant.organization_id, new)
    tell(tenant.organization_id, [job.id for job in recorded])
    fresh = [
        Waiting(
            organization_id=tenant.organization_id,
            terms=terms,
            job_id=job.id,
            kind=job.kind,
            lane=submission.kind.lane,
            attempts_made=0,
            priority=submission.priority,
            due_at=job.run_at,
            request_id=request_id,
            traceparent=traceparents.get(job.id),
        )
        for job, submission in zip(recorded, submissions, strict=True)
        if not job.replayed and not job.waits
    ]
    publish_recorded(database, publisher, fresh)
    return recorded


def tell(organization_id: UUID, jobs: Sequence[UUID]) -> None:
    """Let the log say which jobs were made: lines that no log shipper cuts."""
    for at in range(0, len(jobs), JOBS_A_LINE):
        ids = [str(job) for job in jobs[at : at + JOBS_A_LINE]]
        log.info("jobs recorded", organization=str(organization_id), jobs=ids)


def refuse_excess(
    database: Database, publisher: Publisher, tenant: Tenant, submissions: Sequence[Submission]
) -> None:
    """Refuse all of *submissions* if their lanes have no room for them; what is known already needs none.

    Raises:
        BacklogFullError: One of the lanes is full.
    """
    excess = _excess(publisher, tenant, submissions)
    if excess is None:
        return
    known = _known_keys(database, tenant, submissions)
    if known:
        excess = _excess(
            publisher, tenant, [each for each in submissions if each.idempotency_key not in known]
        )
    if excess is not None:
        raise BacklogFullError(
            lane=excess.lane, waiting=excess.waiting, limit=excess.limit, retry_after=excess.retry_after
        )


def _excess(publisher: Publisher, tenant: Tenant, submissions: Sequence[Submission]) -> Excess | None:
    return find_excess(publisher, tenant, Counter(each.kind.lane.value for each in submissions))


def _known_keys(database: Database, tenant: Tenant, submissions: Sequence[Submission]) -> set[str]:
    keys = [each.idempotency_key for each in submissions if each.idempotency_key]
    if not keys:
        return set()
    with tenant_session(database, tenant.organization_id) as session:
        return set(session.scalars(select(IdempotencyKey.key).where(IdempotencyKey.key.in_(keys))))


def record(
    database: Database,
    tenant: Tenant,
    submissions: Sequence[Submission],
    *,
    requested_by: UUID | None,
    request_id: str | None,
) -> list[SubmittedJob]:
    """Write jobs, quota holds, outbox rows and events in one transaction."""
    arguments = recording(tenant, submissions, requested_by=requested_by, request_id=request_id)
    try:
        rows = call(database, tenant.organization_id, "submit_jobs", **arguments)
    except psycopg.Error as error:
        raise translated(error) from error
    return [recorded_job(row) for row in rows]


def recording(
    tenant: Tenant, submissions: Sequence[Submission], *, requested_by: UUID | None, request_id: str | None
) -> dict[str, Any]:
    """Return the arguments of `app.submit_jobs`.

    Raises:
        WrongRegionError: The organization is of another region than this process.
    """
    if tenant.region != get_settings().region:
        raise WrongRegionError(tenant.region)
    return {
        "ids": [uuid7() for _ in submissions],
        "kinds": [each.kind.name for each in submissions],
        "lanes": [each.kind.lane.value for each in submissions],
        "payloads": [Jsonb(each.payload, dumps=AS_JSON) for each in submissions],
        "due": [each.run_at for each in submissions],
        "priorities": [each.priority for each in submissions],
        "attempts_allowed": [each.kind.max_attempts for each in submissions],
        "keys": [each.idempotency_key for each in submissions],
        "fingerprints": [each.fingerprint() if each.idempotency_key else None for each in submissions],
        "meters": [each.kind.meter for each in submissions],
        "quantities": [each.kind.quantity(each.payload) for each in submissions],
        "quota": quota_now(tenant),
        "requested_by": requested_by,
        "request": request_id,
        "expiries": [each.expires_at for each in submissions],
        "after_ids": [each.after if isinstance(each.after, UUID) else None for each in submissions],
        "after_places": [each.after if isinstance(each.after, int) else None for each in submissions],
    }


def recorded_job(row: Mapping[str, Any]) -> SubmittedJob:
    """Return the job of a row that `app.submit_jobs` answered with."""
    return SubmittedJob(
        id=row["job_id"],
        kind=row["job_kind"],
        state=row["job_state"],
        created_at=row["job_created_at"],
        run_at=row["job_run_at"],
        replayed=row["replayed"],
        waits=row["waits"],
    )


def quota_now(tenant: Tenant) -> Mapping[str, Any]:
    """Return the tenant's current period and limits as the database functions take them."""
    period = billing_period(tenant.billing_anchor, time_zone=tenant.time_zone, at=datetime.now(UTC))
    return {
        "period_start": period.start.isoformat(),
        "period_end": period.end.isoformat(),
        "limits": {
            meter: {"amount": limit.amount, "ceiling": limit.ceiling}
            for meter, limit in tenant.terms.limits.items()
        },
    }


def cancel(
    database: Database, tenant: Tenant, job_id: UUID, *, publisher: Publisher | None = None
) -> JobState:
    """Cancel a waiting job now, or ask a running one to stop; returns the state it is in after the call.

    Raises:
        JobNotFoundError: The tenant has no such job.
        JobStateError: The job has ended.
    """
    rows = call(database, tenant.organization_id, "cancel_job", job=job_id)
    if not rows:
        raise JobNotFoundError(str(job_id))
    match found := JobState(rows[0]["found"]):
        case JobState.QUEUED | JobState.SCHEDULED:
            # Left in the queue, its message would be handed out in its turn and claim nothing.
            with suppress(BrokerAwayError):
                message_id = name_message(job_id, rows[0]["attempt"])
                (publisher or get_publisher()).withdraw(rows[0]["lane"], message_id)
            return JobState.CANCELLED
        case JobState.CANCELLED:
            return JobState.CANCELLED
        case JobState.RUNNING:
            return JobState.RUNNING
        case _:
            raise JobStateError(found)


def retry(
    database: Database, tenant: Tenant, job_id: UUID, *, publisher: Publisher | None = None
) -> JobState:
    """Give a dead or cancelled job another life.

    Raises:
        JobNotFoundError: The tenant has no such job.
        JobStateError: The job is neither dead nor cancelled.
        LimitExceededError: The period's quota does not cover it.
    """
    try:
        rows = call(database, tenant.organization_id, "retry_job", job=job_id, quota=quota_now(tenant))
    except psycopg.Error as error:
        raise translated(error) from error
    if not rows:
        raise JobNotFoundError(str(job_id))
    row = rows[0]
    if row["found"] not in {JobState.DEAD, JobState.CANCELLED}:
        raise JobStateError(row["found"])
    publish_recorded(database, publisher or get_publisher(), [revived(tenant, {**row, "job_id": job_id})])
    return JobState.QUEUED


def revived(tenant: Tenant, row: Mapping[str, Any]) -> Waiting:
    """Return the message of a job that was given another life."""
    return Waiting(
        organization_id=tenant.organization_id,
        terms=tenant.terms,
        job_id=row["job_id"],
        kind=row["kind"],
        lane=row["lane"],
        attempts_made=row["attempt"],
        priority=row["priority"],
        due_at=None,
    )
