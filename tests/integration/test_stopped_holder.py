"""A worker that was stopped in the middle of its completion holds locks; the relay goes around them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import text, update

from config.settings import Settings
from models.job import Job, JobLease
from models.organization import Tenant
from models.session import Database, RelayDatabase, tenant_session
from tests.support import outcome
from tests.support.kinds import LEAVE_CAMPAIGN, Leave
from worker.publish import Publisher
from worker.relay import requeue_lapsed
from worker.submit import Submission, submit


def vanish(database: Database, tenant: Tenant, job_id: UUID) -> None:
    """Let a worker claim a job and vanish, long ago."""
    long_ago = datetime.now(UTC) - timedelta(minutes=1)
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(update(Job).where(Job.id == job_id).values(state="running", attempt=1))
        session.add(
            JobLease(
                organization_id=tenant.organization_id,
                job_id=job_id,
                attempt=1,
                worker="gone",
                leased_until=long_ago,
            )
        )


def test_a_holder_that_stopped_in_mid_completion_holds_up_no_other_job(
    database: Database,
    relay_database: RelayDatabase,
    organization: Callable[..., Tenant],
    settings: Settings,
) -> None:
    tenant = organization()
    work = [Submission(LEAVE_CAMPAIGN, Leave(name=name)) for name in ("stopped", "other")]
    stopped, other = submit(database, tenant, work, publisher=Publisher(settings))
    for job in (stopped, other):
        vanish(database, tenant, job.id)

    with tenant_session(database, tenant.organization_id) as session:
        session.execute(text("UPDATE jobs SET state = 'succeeded' WHERE id = :id"), {"id": stopped.id})
        assert requeue_lapsed(relay_database) == 1  # it would wait here until the statement's timeout
        session.rollback()
    assert outcome.states(database, tenant) == {"queued": 1, "running": 1}

    assert requeue_lapsed(relay_database) == 1
    assert outcome.states(database, tenant) == {"queued": 2}
    assert outcome.leftovers(database, tenant) == {"leases": 0, "outbox": 2, "holds": 2}
