"""What tests of a job's life do, and look at."""

from datetime import timedelta
from typing import Any

import redis
from sqlalchemy import select, text

from config.celery import LANES
from config.settings import Settings
from models.job import Job, JobEvent
from models.organization import Organization, Tenant
from models.session import Database, tenant_session
from tests.support.kinds import LEAVE_CAMPAIGN, Leave, leave_campaign
from worker.claim import take
from worker.context import Claim
from worker.execution import execute
from worker.fairshare.queue import FairQueue, Reserved
from worker.pointer import make_pointer
from worker.publish import Publisher
from worker.submit import Submission, SubmittedJob, submit

LEASE = timedelta(seconds=60)
"""The default of the settings."""


def leave(name: str = "a", **options: Any) -> Submission:
    return Submission(LEAVE_CAMPAIGN, Leave(name=name, **options))


def reserve(client: redis.Redis, count: int = 10) -> list[Reserved]:
    return [job for lane in LANES for job in FairQueue(client, lane).reserve(count)]


def run(settings: Settings, tenant: Tenant, job_id: Any, *, attempts_made: int = 0) -> None:
    """Do what a worker does with the message of an attempt."""
    pointer = make_pointer(
        tenant.organization_id, job_id, kind=LEAVE_CAMPAIGN.name, attempts_made=attempts_made, due_at=None
    )
    arguments = pointer.sign(settings.pointer_secret.get_secret_value().encode())
    execute(LEAVE_CAMPAIGN, leave_campaign, arguments, tenant=arguments[0])


def claim(database: Database, tenant: Tenant, job_id: Any, *, attempts_made: int = 0) -> Claim | None:
    pointer = make_pointer(
        tenant.organization_id, job_id, kind=LEAVE_CAMPAIGN.name, attempts_made=attempts_made, due_at=None
    )
    return take(database, pointer)


def row(database: Database, tenant: Tenant, job_id: Any) -> Job:
    with tenant_session(database, tenant.organization_id) as session:
        return session.get_one(Job, (tenant.organization_id, job_id))


def story(database: Database, tenant: Tenant, job_id: Any) -> list[str]:
    with tenant_session(database, tenant.organization_id) as session:
        return list(
            session.scalars(select(JobEvent.state).where(JobEvent.job_id == job_id).order_by(JobEvent.id))
        )


def one(database: Database, tenant: Tenant, submission: Submission, publisher: Publisher) -> SubmittedJob:
    [job] = submit(database, tenant, [submission], publisher=publisher)
    return job


def lapse(database: Database, tenant: Tenant) -> None:
    """Let every lease of *tenant* run out."""
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(text("UPDATE job_leases SET leased_until = now() - interval '1 second'"))


def set_status(database: Database, tenant: Tenant, status: str) -> None:
    with tenant_session(database, tenant.organization_id) as session:
        session.get_one(Organization, tenant.organization_id).status = status


def age_outbox(database: Database, tenant: Tenant) -> None:
    """Make the outbox rows of *tenant* old enough for the relay."""
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(
            text(
                "WITH old AS (DELETE FROM outbox RETURNING *) INSERT INTO outbox SELECT organization_id,"
                " job_id, attempt, kind, lane, priority, due_at, created_at - interval '1 minute' FROM old"
            )
        )
