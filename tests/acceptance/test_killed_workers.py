"""Workers killed in the middle: every job ends once, with its effects there once."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.settings import Settings
from models.organization import Tenant
from models.session import Database
from tests.support import outcome
from tests.support.gate import Gate
from tests.support.kinds import INCLUDE, LEAVE_CAMPAIGN, Leave
from tests.support.service import Services
from tests.support.wait import wait_until
from worker.publish import Publisher
from worker.submit import Submission, submit

JOBS_PER_TENANT = {"starter": 500, "professional": 700, "enterprise": 800}
SHORT_LEASE = {"GENIUS_LEASE_TIME": "2", "GENIUS_RELAY_INTERVAL": "0.5"}


@pytest.fixture
def publisher(settings: Settings) -> Iterator[Publisher]:
    return Publisher(settings)


def start_workers(services: Services) -> list[object]:
    return [
        services.worker(pool="prefork", concurrency=2, options=INCLUDE, environment=SHORT_LEASE),
        services.worker(pool="threads", concurrency=4, options=INCLUDE, environment=SHORT_LEASE),
    ]


def test_every_job_ends_once_although_all_workers_are_killed_twice(
    database: Database,
    organization: Callable[..., Tenant],
    services: Services,
    publisher: Publisher,
    tmp_path: Path,
) -> None:
    gate, arrived = Gate(tmp_path / "gate"), 0
    tenants = {organization(plan=plan, name=plan): jobs for plan, jobs in JOBS_PER_TENANT.items()}
    total = sum(tenants.values())
    workers = start_workers(services)
    services.beat(SHORT_LEASE)
    for tenant, jobs in tenants.items():
        work = [Leave(name=f"job {n}", sleep_ms=5) for n in range(jobs)]
        if tenant.plan == "starter":
            work[0].gate = gate.folder
        submissions = [Submission(LEAVE_CAMPAIGN, each) for each in work]
        submit(database, tenant, submissions, publisher=publisher)

    def succeeded() -> int:
        return sum(outcome.states(database, tenant)["succeeded"] for tenant in tenants)

    for share in (0.25, 0.5):
        wait_until(lambda share=share: succeeded() > share * total, timeout=120)
        wait_until(lambda arrived=arrived: gate.arrivals() > arrived, 120, message="there is a run to kill")
        for worker in workers:
            worker.kill()
        arrived = gate.arrivals()
        workers = start_workers(services)
    gate.open()
    wait_until(lambda: outcome.all_ended(database, tenants), timeout=120)

    for tenant, jobs in tenants.items():
        assert outcome.states(database, tenant) == Counter(succeeded=jobs)
        assert outcome.campaigns_left(database, tenant) == Counter({f"job {n}": 1 for n in range(jobs)})
        assert outcome.successes(database, tenant) == Counter({1: jobs})
        assert outcome.leftovers(database, tenant) == {"leases": 0, "outbox": 0, "holds": 0}
        assert outcome.quota(database, tenant) == (jobs, 0)
        assert outcome.ledger(database, tenant) == jobs
