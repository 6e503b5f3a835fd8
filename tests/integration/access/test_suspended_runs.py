"""What a process does with its runs once their organization was suspended, step by step."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from config.settings import Settings
from models.job import Job, JobEvent
from models.organization import Organization, OrganizationStatus, Tenant, load_tenant
from models.session import Database, tenant_session
from models.stop import OrganizationStop, pull_brake
from models.transaction import tenant_transaction
from tests.support.kinds import LEAVE_CAMPAIGN, Leave
from worker.claim import take
from worker.complete import commit_completion
from worker.context import Claim, Completion, JobCancelledError, LeaseLostError, PermanentJobError
from worker.lease import Hold, LeaseKeeper
from worker.pointer import make_pointer
from worker.publish import Publisher
from worker.submit import Submission, submit
from worker.suspend import OrganizationSuspendedError
from worker.terms import change_organization, set_status

LEASE = timedelta(seconds=60)


@pytest.fixture
def keeper(database: Database, monkeypatch: pytest.MonkeyPatch) -> LeaseKeeper:
    """A keeper that finds every run old enough, and looks only when it is told to."""
    monkeypatch.setattr("worker.lease.LOOK_EVERY", timedelta(seconds=-1))
    monkeypatch.setattr(LeaseKeeper, "_start", lambda _: None)
    return LeaseKeeper(database, LEASE)


@pytest.fixture
def claimed(database: Database, settings: Settings) -> Callable[[Tenant], Claim]:
    def claim(tenant: Tenant) -> Claim:
        submission = Submission(LEAVE_CAMPAIGN, Leave(name="a"))
        [job] = submit(database, tenant, [submission], publisher=Publisher(settings))
        pointer = make_pointer(
            tenant.organization_id, job.id, kind=LEAVE_CAMPAIGN.name, attempts_made=0, due_at=None
        )
        taken = take(database, pointer)
        assert taken is not None
        return taken

    return claim


def suspend(database: Database, tenant: Tenant) -> None:
    with tenant_session(database, tenant.organization_id) as session:
        session.get_one(Organization, tenant.organization_id).status = "suspended"


def job(database: Database, claim: Claim) -> tuple[str, int]:
    """Return its state and how many attempts are left."""
    with tenant_session(database, claim.organization_id) as session:
        row = session.get_one(Job, (claim.organization_id, claim.job_id))
        return row.state, row.max_attempts - row.attempt


def reasons(database: Database, claim: Claim) -> list[str | None]:
    with tenant_session(database, claim.organization_id) as session:
        details = session.scalars(
            select(JobEvent.detail).where(JobEvent.job_id == claim.job_id).order_by(JobEvent.id)
        )
        return [(detail or {}).get("type") for detail in details]


def test_a_run_is_asked_to_stop_and_then_its_job_is_taken_from_it(
    database: Database, keeper: LeaseKeeper, tenant: Tenant, claimed: Callable[[Tenant], Claim]
) -> None:
    claim = claimed(tenant)
    _, left = job(database, claim)
    with keeper.hold(claim) as hold:
        keeper.look_after_suspended()
        hold.check()
        suspend(database, tenant)
        keeper.look_after_suspended()
        with pytest.raises(OrganizationSuspendedError):
            hold.check()
        keeper.look_after_suspended()
        assert job(database, claim)[0] == "running"
        keeper.look_after_suspended()
        assert job(database, claim) == ("queued", left + 1), "the attempt is given back"
        with pytest.raises(LeaseLostError):
            hold.check()
    with pytest.raises(LeaseLostError), tenant_transaction(database, tenant.organization_id) as transaction:
        commit_completion(transaction, claim, Completion())
    assert reasons(database, claim)[-1] == "OrganizationSuspendedError"


def test_a_run_that_calls_the_outside_and_cannot_be_ended_keeps_its_job(
    database: Database, keeper: LeaseKeeper, tenant: Tenant, claimed: Callable[[Tenant], Claim]
) -> None:
    claim = claimed(tenant)
    suspend(database, tenant)
    with keeper.hold(claim, fenced=False) as hold:
        for _ in range(4):
            keeper.look_after_suspended()
        with pytest.raises(OrganizationSuspendedError):
            hold.check()
    assert job(database, claim)[0] == "running"


def test_other_organizations_runs_go_on_and_so_does_ones_own_after_activation(
    database: Database,
    keeper: LeaseKeeper,
    organization: Callable[..., Tenant],
    claimed: Callable[[Tenant], Claim],
) -> None:
    one, other = organization(), organization()
    with keeper.hold(claimed(one)) as own, keeper.hold(claimed(other)) as foreign:
        suspend(database, one)
        keeper.look_after_suspended()
        foreign.check()
        with pytest.raises(OrganizationSuspendedError):
            own.check()
        with tenant_session(database, one.organization_id) as session:
            session.get_one(Organization, one.organization_id).status = "active"
        keeper.look_after_suspended()
        own.check()


def test_the_brake_stops_runs_before_the_status_is_recorded_and_the_status_takes_over(
    database: Database,
    settings: Settings,
    keeper: LeaseKeeper,
    tenant: Tenant,
    claimed: Callable[[Tenant], Claim],
) -> None:
    with keeper.hold(claimed(tenant)) as hold:
        pull_brake(database, tenant.organization_id)
        keeper.look_after_suspended()
        with pytest.raises(OrganizationSuspendedError):
            hold.check()
    for status in (OrganizationStatus.SUSPENDED, OrganizationStatus.ACTIVE):
        publisher = Publisher(settings)
        change_organization(database, publisher, tenant.organization_id, set_status(status), actor="test")
        found = load_tenant(database, tenant.organization_id)
        assert found is not None
        assert found.status == status
        with tenant_session(database, tenant.organization_id) as session:
            assert session.scalars(select(OrganizationStop.organization_id)).all() == []


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (RuntimeError("interrupted"), OrganizationSuspendedError),
        (PermanentJobError("bad"), PermanentJobError),
        (JobCancelledError("cancelled"), JobCancelledError),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_an_interrupted_run_is_not_to_blame(
    database: Database, tenant: Tenant, error: Exception, becomes: type[Exception]
) -> None:
    assert database
    claim = Claim(tenant.organization_id, UUID(int=1), "k", 1, 5, {}, None)  # type: ignore[arg-type] # not needed
    hold = Hold(claim, LEASE)
    assert hold.reason_of(error) is error
    hold.times_suspended = 1
    assert isinstance(hold.reason_of(error), becomes)
