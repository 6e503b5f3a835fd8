"""Read what became of jobs, as the application role sees it."""

from collections import Counter
from collections.abc import Iterable

from sqlalchemy import func, select

from models.campaign import Campaign
from models.job import Job, JobEvent, JobLease, JobState, OutboxRow
from models.organization import Tenant
from models.session import Database, tenant_session
from models.usage import QuotaPeriod, QuotaReservation, UsageRecord

FINAL = (JobState.SUCCEEDED, JobState.DEAD, JobState.CANCELLED)


def states(database: Database, tenant: Tenant) -> Counter[str]:
    """Count the tenant's jobs by state."""
    with tenant_session(database, tenant.organization_id) as session:
        counted = session.execute(select(Job.state, func.count()).group_by(Job.state))
        return Counter(dict(counted.all()))


def all_ended(database: Database, tenants: Iterable[Tenant]) -> bool:
    """Tell whether no job of *tenants* is on its way any more."""
    return all(set(states(database, tenant)) <= set(FINAL) for tenant in tenants)


def campaigns_left(database: Database, tenant: Tenant) -> Counter[str]:
    """Count campaigns by name: the effects of `tests.support.kinds`."""
    with tenant_session(database, tenant.organization_id) as session:
        counted = session.execute(select(Campaign.name, func.count()).group_by(Campaign.name))
        return Counter(dict(counted.all()))


def successes(database: Database, tenant: Tenant) -> Counter[int]:
    """Count jobs by how many times the record says they succeeded."""
    per_job = (
        select(func.count().label("times"))
        .where(JobEvent.state == JobState.SUCCEEDED)
        .group_by(JobEvent.job_id)
        .subquery()
    )
    with tenant_session(database, tenant.organization_id) as session:
        counted = session.execute(select(per_job.c.times, func.count()).group_by(per_job.c.times))
        return Counter(dict(counted.all()))


def quota(database: Database, tenant: Tenant, meter: str = "jobs_month") -> tuple[int, int]:
    """Return what is used and what is reserved of a meter; a test may run from one month into the next."""
    with tenant_session(database, tenant.organization_id) as session:
        periods = session.scalars(select(QuotaPeriod).where(QuotaPeriod.meter == meter)).all()
        assert periods, f"nothing was ever counted of {meter}"
        return sum(period.used for period in periods), sum(period.reserved for period in periods)


def leftovers(database: Database, tenant: Tenant) -> dict[str, int]:
    """Count rows that must be gone once every job has ended."""
    held = select(func.count()).select_from(QuotaReservation).where(QuotaReservation.state == "held")
    with tenant_session(database, tenant.organization_id) as session:
        return {
            "leases": session.scalars(select(func.count()).select_from(JobLease)).one(),
            "outbox": session.scalars(select(func.count()).select_from(OutboxRow)).one(),
            "holds": session.scalars(held).one(),
        }


def ledger(database: Database, tenant: Tenant, meter: str = "jobs_month") -> int:
    """Sum the ledger of a meter."""
    total = select(func.coalesce(func.sum(UsageRecord.quantity), 0)).where(UsageRecord.meter == meter)
    with tenant_session(database, tenant.organization_id) as session:
        return int(session.scalars(total).one())
