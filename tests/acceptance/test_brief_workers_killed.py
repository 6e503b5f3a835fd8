"""Workers that run brief jobs in groups are killed: effects once, and what kills its worker ends."""

import os
import signal
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import BaseModel
from sqlalchemy import select

from config.settings import Settings
from models.job import DeadLetter, JobEvent
from models.organization import Tenant
from models.session import Database, tenant_session
from tests.support import outcome
from tests.support.gate import Gate
from tests.support.kinds import INCLUDE, LEAVE_BRIEFLY, Leave
from tests.support.service import Services
from tests.support.wait import wait_until
from worker.context import Completion, DatabaseJob, Effects
from worker.job import JobKind, Lane, runs
from worker.publish import Publisher
from worker.submit import Submission, submit

SHORT = {"GENIUS_LEASE_TIME": "1", "GENIUS_RELAY_INTERVAL": "0.2"}
JOBS = 300
KILLED_AT = (75, 150)
"""Which of an organization's jobs stand still until their worker is killed; more than a group runs before."""


class Nothing(BaseModel):
    """Nothing to say."""


KILL_WORKER = JobKind(
    name="test.kill_worker",
    payload=Nothing,
    lane=Lane.SCORING,
    effects=Effects.DATABASE,
    permission=None,
    max_attempts=2,
    backoff=timedelta(milliseconds=50),
    brief=True,
)


@runs(KILL_WORKER)
def kill_worker(_job: DatabaseJob, _payload: Nothing) -> Completion:
    """Kill the process that runs it."""
    os.kill(os.getpid(), signal.SIGKILL)
    return Completion()


@pytest.fixture
def publisher(settings: Settings) -> Publisher:
    return Publisher(settings)


def test_groups_have_effects_once_although_their_worker_is_killed(
    database: Database,
    organization: Callable[..., Tenant],
    services: Services,
    publisher: Publisher,
    tmp_path: Path,
) -> None:
    gates = {at: Gate(tmp_path / f"gate{at}") for at in KILLED_AT}
    tenants = [organization(name=str(n)) for n in range(2)]
    worker = services.worker(pool="threads", concurrency=24, options=INCLUDE, environment=SHORT)
    services.beat(SHORT)
    for tenant in tenants:
        work = [Leave(name=str(n), sleep_ms=4) for n in range(JOBS)]
        if tenant is tenants[0]:
            for at, gate in gates.items():
                work[at].gate = gate.folder
        submit(database, tenant, [Submission(LEAVE_BRIEFLY, each) for each in work], publisher=publisher)
    for gate in gates.values():
        wait_until(gate.arrivals, timeout=120)
        worker.kill()
        gate.open()
        worker = services.worker(pool="threads", concurrency=24, options=INCLUDE, environment=SHORT)
    wait_until(lambda: outcome.all_ended(database, tenants), timeout=120)

    for tenant in tenants:
        assert outcome.campaigns_left(database, tenant) == Counter({str(n): 1 for n in range(JOBS)})
        assert outcome.successes(database, tenant) == Counter({1: JOBS})
        assert outcome.leftovers(database, tenant) == {"leases": 0, "outbox": 0, "holds": 0}
        assert outcome.quota(database, tenant) == (JOBS, 0)
        assert outcome.ledger(database, tenant) == JOBS


def test_a_job_that_kills_its_worker_ends_in_the_dead_letters_and_takes_nobody_along(
    database: Database, organization: Callable[..., Tenant], services: Services, publisher: Publisher
) -> None:
    tenant = organization()
    services.beat(SHORT)
    wanted = [Submission(LEAVE_BRIEFLY, Leave(name=str(n))) for n in range(5)]
    jobs = submit(database, tenant, [*wanted, Submission(KILL_WORKER, Nothing())], publisher=publisher)
    options = ("-I", "tests.support.kinds,tests.acceptance.test_brief_workers_killed")

    def ended_with_a_worker() -> bool:
        if not any(child.alive for child in services.started[1:]):
            services.worker(pool="threads", concurrency=8, options=options, environment=SHORT, wait=False)
        return outcome.all_ended(database, [tenant])

    wait_until(ended_with_a_worker, timeout=180)
    assert outcome.states(database, tenant) == Counter(succeeded=5, dead=1)
    assert outcome.campaigns_left(database, tenant) == Counter({str(n): 1 for n in range(5)})
    with tenant_session(database, tenant.organization_id) as session:
        assert session.get_one(DeadLetter, (tenant.organization_id, jobs[-1].id)).attempts == 2
        told = session.scalars(select(JobEvent.state).where(JobEvent.job_id == jobs[-1].id))
        assert Counter(told)["running"] == 2
    assert outcome.quota(database, tenant) == (5, 0)
