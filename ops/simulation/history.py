"""The last hours of real jobs, as a workload."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select

from config.plans import Plan, terms_of
from models.job import Job
from models.organization import Organization
from models.session import Database, RelayDatabase, relay_session, tenant_session
from ops.simulation.workload import Arrival, Workload, workload
from worker.fairshare.units import to_us

RECORDED_BEFORE = timedelta(days=1)
"""Jobs recorded so long before the period are looked at too: they may have run in it."""

PAGE = 5_000


def recorded_workload(relay: RelayDatabase, database: Database, since: datetime) -> Workload:
    """Return the jobs that began after *since* and have ended, each as its last attempt ran.

    A job that waited already at *since* arrives then. The relay's role lists the organizations; each one's
    jobs are read in a session bound to it.

    Raises:
        WorkloadError: None has.
    """
    arrivals: list[Arrival] = []
    terms: dict[str, Plan] = {}
    for organization_id, of_organization in _organizations(relay):
        jobs = list(_jobs(database, organization_id, since))
        if jobs:
            arrivals += jobs
            terms[str(organization_id)] = of_organization
    return workload(arrivals, terms)


def _organizations(relay: RelayDatabase) -> list[tuple[UUID, Plan]]:
    columns = (Organization.organization_id, Organization.plan, Organization.plan_overrides)
    with relay_session(relay) as session:
        rows = session.execute(select(*columns).order_by(Organization.organization_id)).all()
    return [(row.organization_id, terms_of(row.plan, row.plan_overrides)) for row in rows]


def _jobs(database: Database, organization_id: UUID, since: datetime) -> Iterator[Arrival]:
    arrival = func.greatest(Job.created_at, Job.run_at).label("arrived_at")
    ended = (
        select(Job.id, Job.kind, Job.lane, arrival, Job.started_at, Job.finished_at)
        .where(Job.started_at >= since, Job.finished_at.is_not(None))
        .order_by(Job.id)
        .limit(PAGE)
    )
    after = _first_id_of(since - RECORDED_BEFORE)
    while True:
        with tenant_session(database, organization_id) as session:
            rows = session.execute(ended.where(Job.id > after)).all()
        for row in rows:
            yield Arrival(
                at_us=max(to_us(row.arrived_at - since), 0),
                organization=str(organization_id),
                kind=row.kind,
                lane=row.lane,
                duration_us=max(to_us(row.finished_at - row.started_at), 0),
            )
        if len(rows) < PAGE:
            return
        after = rows[-1].id


def _first_id_of(moment: datetime) -> UUID:
    """Return the least version 7 UUID made at *moment*: ids are in the order of recording."""
    milliseconds = int(moment.astimezone(UTC).timestamp() * 1_000)
    return UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62)
