"""Finished jobs leave the history when the organization's plan keeps them no longer."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, select, text

from models.job import JobEvent, PastJob
from models.organization import Organization, Tenant
from models.session import Database, tenant_session
from tasks.payloads import Nothing
from tasks.upkeep import retain
from worker.context import Completion

Run = Callable[..., Completion]

PAST = """
INSERT INTO job_history (organization_id, id, kind, lane, state, payload, priority, max_attempts,
    attempts_per_life, finished_at)
SELECT :tenant, id, 'leads.score', 'scoring', 'succeeded', '{}', 0, 1, 1, now() - cast(:finished AS interval)
FROM (SELECT app.first_id(now() - cast(:made AS interval)) AS id) AS made
RETURNING id
"""
EVENT = """
INSERT INTO job_events (organization_id, job_id, id, attempt, state)
VALUES (:tenant, :job, app.uuid7(), 1, 'succeeded')
"""


def past_job(database: Database, tenant: Tenant, *, made: int, finished: int | None = None) -> UUID:
    """Put a job into the history that was made and finished so many days ago."""
    ages = {"made": f"{made} days", "finished": f"{made if finished is None else finished} days"}
    with tenant_session(database, tenant.organization_id) as session:
        job: UUID = session.execute(text(PAST), {"tenant": tenant.organization_id, **ages}).scalar_one()
        session.execute(text(EVENT), {"tenant": tenant.organization_id, "job": job})
    return job


def kept(database: Database, tenant: Tenant) -> set[UUID]:
    """Return the jobs of the history; each has its event and no event stands alone."""
    with tenant_session(database, tenant.organization_id) as session:
        jobs = set(session.scalars(select(PastJob.id)))
        assert set(session.scalars(select(JobEvent.job_id))) == jobs
    return jobs


@pytest.mark.parametrize(("plan", "days"), [("starter", 30), ("professional", 180), ("enterprise", 400)])
def test_each_plan_keeps_its_own_time(
    database: Database, organization: Callable[..., Tenant], run: Run, plan: str, days: int
) -> None:
    tenant, neighbour = organization(plan=plan), organization(plan="enterprise", name="Neighbour")
    past_job(database, tenant, made=days + 1)
    young = past_job(database, tenant, made=days - 1)
    long_scheduled = past_job(database, tenant, made=days + 1, finished=days - 1)
    theirs = past_job(database, neighbour, made=399)

    assert run(tenant, retain, Nothing()).result["jobs_forgotten"] == 1
    assert kept(database, tenant) == {young, long_scheduled}
    assert kept(database, neighbour) == {theirs}


def test_an_organization_may_keep_more_than_its_plan(
    database: Database, organization: Callable[..., Tenant], run: Run
) -> None:
    tenant = organization(plan="starter")
    job = past_job(database, tenant, made=60)
    with tenant_session(database, tenant.organization_id) as session:
        session.get_one(Organization, tenant.organization_id).plan_overrides = {"history_days": 90}
    assert run(tenant, retain, Nothing()).result["jobs_forgotten"] == 0
    assert kept(database, tenant) == {job}


def test_the_oldest_of_a_batch_go_first(database: Database, organization: Callable[..., Tenant]) -> None:
    tenant = organization(plan="starter")
    jobs = [past_job(database, tenant, made=made) for made in (90, 80, 70)]
    with tenant_session(database, tenant.organization_id) as session:
        gone = session.scalars(select(func.app.forget_jobs(func.now() - timedelta(days=30), 2))).one()
    assert gone == 2
    assert kept(database, tenant) == {jobs[2]}


def test_what_every_plan_keeps_cannot_be_forgotten(
    database: Database, organization: Callable[..., Tenant]
) -> None:
    tenant = organization(plan="starter")
    job = past_job(database, tenant, made=29)
    with tenant_session(database, tenant.organization_id) as session:
        assert session.scalars(select(func.app.forget_jobs(func.now(), 100))).one() == 0
    assert kept(database, tenant) == {job}
