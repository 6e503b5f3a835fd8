"""The seconds that real workers spend on a tenant's jobs end up in its ledger."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from sqlalchemy import func, select

from config.settings import Settings
from models.job import Job
from models.meter import WORKER_SECONDS
from models.organization import Tenant
from models.session import Database, tenant_session
from tasks.catalog import ACCOUNT_QUOTA
from tasks.payloads import AccountQuota
from tests.support import outcome
from tests.support.kinds import INCLUDE, LEAVE_CAMPAIGN, Leave
from tests.support.service import Services
from tests.support.wait import wait_until
from worker.publish import Publisher
from worker.submit import Submission, submit

LASTING_MS = 300
JOBS = {"Busy": 14, "Idle": 4}


def finish(database: Database, tenant: Tenant) -> None:
    wait_until(lambda: outcome.all_ended(database, [tenant]), timeout=60)


def test_worker_seconds_are_those_that_the_jobs_took(
    database: Database, organization: Callable[..., Tenant], services: Services, settings: Settings
) -> None:
    publisher = Publisher(settings)
    services.worker(pool="threads", concurrency=4, options=INCLUDE)
    tenants = {organization(name=name): jobs for name, jobs in JOBS.items()}
    for tenant, jobs in tenants.items():
        work = [Submission(LEAVE_CAMPAIGN, Leave(name=str(n), sleep_ms=LASTING_MS)) for n in range(jobs)]
        submit(database, tenant, work, publisher=publisher)
    for tenant, jobs in tenants.items():
        finish(database, tenant)
        for _ in range(2):  # the second finds what the first, and the last acknowledgement, left
            submit(database, tenant, [Submission(ACCOUNT_QUOTA, AccountQuota())], publisher=publisher)
            finish(database, tenant)
        assert outcome.states(database, tenant) == Counter(succeeded=jobs + 2)
        took = seconds_between_claim_and_end(database, tenant)
        booked = outcome.ledger(database, tenant, WORKER_SECONDS)
        assert int(jobs * LASTING_MS / 1000) <= booked <= took + 0.5 * jobs


def seconds_between_claim_and_end(database: Database, tenant: Tenant) -> float:
    spans: Any = func.extract("epoch", Job.finished_at - Job.started_at)
    with tenant_session(database, tenant.organization_id) as session:
        return float(session.execute(select(func.sum(spans))).scalar_one())
