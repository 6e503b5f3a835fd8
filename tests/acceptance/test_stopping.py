"""A run that takes too long or is wanted no more is stopped, by force if it must be."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from config.settings import Settings
from models.job import Job
from models.organization import Tenant
from models.session import Database, tenant_session
from tests.support import outcome
from tests.support.service import Services
from tests.support.stubborn import INCLUDE, LIMITED, UNLIMITED, Dwell
from tests.support.wait import wait_until
from worker.job import JobKind
from worker.publish import Publisher
from worker.submit import Submission, cancel, submit

SHORT = {"GENIUS_LEASE_TIME": "5", "GENIUS_RELAY_INTERVAL": "0.3"}
"""Not so short that a run loses its lease, or its time, to a machine that lets nobody run for a while."""


@pytest.fixture
def tenant(organization: Callable[..., Tenant]) -> Tenant:
    return organization()


@pytest.fixture
def send(database: Database, tenant: Tenant, settings: Settings) -> Callable[..., UUID]:
    def submit_one(kind: JobKind[Any], **payload: Any) -> UUID:
        submission = Submission(kind, Dwell(**payload))
        return submit(database, tenant, [submission], publisher=Publisher(settings))[0].id

    return submit_one


def state(database: Database, tenant: Tenant, job_id: UUID) -> tuple[str, int, str | None]:
    with tenant_session(database, tenant.organization_id) as session:
        job = session.get_one(Job, (tenant.organization_id, job_id))
        return job.state, job.attempt, (job.error or {}).get("type")


def test_limits_of_time_stop_a_run_softly_and_then_hard(
    database: Database, tenant: Tenant, services: Services, send: Callable[..., UUID]
) -> None:
    services.worker(pool="prefork", concurrency=2, options=INCLUDE, environment=SHORT)
    services.beat(SHORT)
    asked, forced, quick = (
        send(LIMITED, seconds=60),
        send(LIMITED, seconds=60, stubborn=True),
        send(LIMITED, seconds=0.1),
    )
    wait_until(lambda: outcome.all_ended(database, [tenant]), timeout=120)

    assert state(database, tenant, asked) == ("dead", 2, "SoftTimeLimitExceeded")
    assert state(database, tenant, forced) == ("dead", 2, "LeaseLost")
    assert state(database, tenant, quick) == ("succeeded", 1, None)
    assert outcome.campaigns_left(database, tenant) == {"left": 1}
    assert outcome.leftovers(database, tenant) == {"leases": 0, "outbox": 0, "holds": 0}


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_cancelled_run_is_interrupted_and_ended_if_it_goes_on(
    database: Database,
    tenant: Tenant,
    services: Services,
    send: Callable[..., UUID],
    *,
    stubborn: bool,
) -> None:
    services.worker(pool="prefork", concurrency=1, options=INCLUDE, environment=SHORT)
    services.beat(SHORT)
    job_id = send(UNLIMITED, seconds=120, stubborn=stubborn)
    wait_until(lambda: state(database, tenant, job_id)[0] == "running", timeout=60)
    assert cancel(database, tenant, job_id) == "running"
    wait_until(lambda: state(database, tenant, job_id)[0] == "cancelled", timeout=60)
    following = send(UNLIMITED, seconds=0)
    wait_until(lambda: state(database, tenant, following)[0] == "succeeded", timeout=60)

    assert outcome.campaigns_left(database, tenant) == {"left": 1}
    assert outcome.leftovers(database, tenant) == {"leases": 0, "outbox": 0, "holds": 0}
