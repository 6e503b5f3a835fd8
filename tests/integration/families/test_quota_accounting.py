"""Accounting mends what periods say, alerts once, and takes nothing from jobs that may still count."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb
from sqlalchemy import func, select, text, update
from uuid_utils.compat import uuid7

from config.settings import Settings
from models.organization import Tenant
from models.session import Database, RelayDatabase, call, call_for_each, call_relay, tenant_session
from models.social import SocialAccount, SocialPost
from models.usage import QuotaPeriod, QuotaReservation, UsageRecord
from tasks.catalog import SCORE_LEADS
from tasks.payloads import AccountQuota, ScoreLeads
from tasks.quota_accounting.job import account
from tests.integration.families.beside import rounds
from worker.context import Completion
from worker.publish import get_publisher
from worker.submit import Submission, record

Run = Callable[..., Completion]
Organize = Callable[..., Tenant]

METER = "leads_scored_month"


@pytest.fixture(autouse=True)
def own_queue(settings: Settings) -> Iterator[None]:
    """Bodies that ask the queue ask this test's own."""
    get_publisher.cache_clear()
    yield
    get_publisher.cache_clear()


def reserve(database: Database, tenant: Tenant, quantity: int) -> UUID:
    """Record a scoring job, as the intake does."""
    submission = Submission(SCORE_LEADS, ScoreLeads(all=True, limit=quantity))
    (job,) = record(database, tenant, [submission], requested_by=None, request_id=None)
    return job.id


def commit(database: Database, tenant: Tenant, job_id: UUID, quantity: int) -> None:
    """Complete the job, as a worker does; a second time nothing is left to complete."""
    own = tenant.organization_id
    call_for_each(
        database,
        [own],
        "claim_jobs",
        jobs=[job_id],
        attempts_made=[0],
        worker="test",
        lease=timedelta(minutes=1),
    )
    call(
        database,
        own,
        "complete_jobs",
        jobs=[job_id],
        held_attempts=[1],
        outcomes=[Jsonb({})],
        quantities=[quantity],
    )


def period_of(database: Database, tenant: Tenant, meter: str = METER) -> QuotaPeriod:
    with tenant_session(database, tenant.organization_id) as session:
        return session.execute(select(QuotaPeriod).where(QuotaPeriod.meter == meter)).scalar_one()


def meter_of(completion: Completion, meter: str = METER) -> dict[str, object]:
    (found,) = [period for period in completion.result["periods"] if period["meter"] == meter]
    return dict(found)


def test_a_sound_period_is_left_as_it_is(database: Database, organization: Organize, run: Run) -> None:
    tenant = organization()
    commit(database, tenant, reserve(database, tenant, 100), 70)
    reserve(database, tenant, 30)
    completion = run(tenant, account, AccountQuota())
    found = meter_of(completion)
    assert (found["used"], found["reserved"], completion.result["drifted"]) == (70, 30, 0)
    assert "drift" not in found


def drift_of_all(relay_database: RelayDatabase) -> dict[str, int]:
    return {row["meter"]: row["drift"] for row in call_relay(relay_database, "quota_drift")}


def test_drift_is_mended_told_and_measured(
    database: Database, relay_database: RelayDatabase, organization: Organize, run: Run
) -> None:
    tenant = organization()
    commit(database, tenant, reserve(database, tenant, 100), 70)
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(update(QuotaPeriod).where(QuotaPeriod.meter == METER).values(used=90, reserved=5))
    completion = run(tenant, account, AccountQuota())
    assert meter_of(completion)["drift"] == {"used": -20, "reserved": -5}
    assert completion.result["drifted"] == 1
    period = period_of(database, tenant)
    assert (period.used, period.reserved) == (70, 0)
    assert drift_of_all(relay_database) == {METER: 25, "jobs_month": 0}
    assert run(tenant, account, AccountQuota()).result["drifted"] == 0
    assert drift_of_all(relay_database)[METER] == 25


def test_one_meter_alone_can_be_accounted(database: Database, organization: Organize, run: Run) -> None:
    tenant = organization()
    reserve(database, tenant, 10)
    completion = run(tenant, account, AccountQuota(meter="jobs_month"))
    assert [period["meter"] for period in completion.result["periods"]] == ["jobs_month"]


def test_a_hold_of_a_job_that_is_gone_is_given_back(
    database: Database, organization: Organize, run: Run
) -> None:
    tenant = organization()
    live, dead = reserve(database, tenant, 10), reserve(database, tenant, 25)
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(text("UPDATE jobs SET state = 'dead' WHERE id = :id"), {"id": dead})
    completion = run(tenant, account, AccountQuota())
    assert completion.result["expired_holds"] == 2  # of the job's meter, and of jobs_month
    assert completion.result["drifted"] == 0
    assert period_of(database, tenant).reserved == 10
    with tenant_session(database, tenant.organization_id) as session:
        states = session.execute(select(QuotaReservation.job_id, QuotaReservation.state).distinct()).all()
    assert {(row.job_id, row.state) for row in states} == {(live, "held"), (dead, "expired")}


@pytest.mark.parametrize(("state", "expired"), [("publishing", 0), ("unknown", 0), ("queued", 1)])
def test_the_hold_of_a_post_that_may_be_out_is_kept(
    database: Database, organization: Organize, run: Run, state: str, expired: int
) -> None:
    tenant = organization()
    organization_id, job_id = tenant.organization_id, reserve(database, tenant, 25)
    with tenant_session(database, organization_id) as session:
        session.execute(text("UPDATE jobs SET state = 'dead' WHERE id = :id"), {"id": job_id})
        session.execute(
            update(QuotaReservation).where(QuotaReservation.meter != METER).values(state="released")
        )
        account_row = SocialAccount(
            organization_id=organization_id, id=uuid7(), platform="bluesky", handle="a"
        )
        session.add(account_row)
        session.flush()
        session.add(
            SocialPost(
                organization_id=organization_id,
                account_id=account_row.id,
                platform="bluesky",
                body="x",
                state=state,
                job_id=job_id,
            )
        )
    assert run(tenant, account, AccountQuota()).result["expired_holds"] == expired


def test_an_ended_period_is_accounted_until_it_holds_nothing(
    database: Database, organization: Organize, run: Run
) -> None:
    tenant = organization()
    job_id = reserve(database, tenant, 40)
    ended = datetime.now(UTC) - timedelta(days=40)
    with tenant_session(database, tenant.organization_id) as session:
        for table in (QuotaPeriod, QuotaReservation):
            session.execute(update(table).where(table.meter == METER).values(period_start=ended))
        session.execute(
            update(QuotaPeriod)
            .where(QuotaPeriod.meter == METER)
            .values(period_end=ended + timedelta(days=30))
        )
    assert meter_of(run(tenant, account, AccountQuota()))["closed"] is False
    commit(database, tenant, job_id, 40)
    day = (ended + timedelta(days=1)).date()
    found = meter_of(run(tenant, account, AccountQuota(period=day)))
    assert (found["closed"], found["used"]) == (True, 40)


def test_accounting_while_jobs_are_submitted_and_ended_finds_no_drift(
    database: Database, organization: Organize, run: Run
) -> None:
    tenant, done = organization(), threading.Event()
    drifts: list[int] = []

    def work(_: int) -> int:
        worked = 0
        for _round in rounds(15, until=lambda: len(drifts) > 3):
            commit(database, tenant, reserve(database, tenant, 7), 5)
            worked += 1
        return worked

    def keep_accounting() -> None:
        while not done.is_set():
            drifts.append(run(tenant, account, AccountQuota()).result["drifted"])

    with ThreadPoolExecutor(5) as threads:
        accounting = threads.submit(keep_accounting)
        workers = [threads.submit(work, number) for number in range(4)]
        wait(workers)
        done.set()
    accounting.result()
    worked = sum(worker.result() for worker in workers)
    assert len(drifts) > 3
    assert set(drifts) == {0}
    period = period_of(database, tenant)
    assert (period.used, period.reserved) == (worked * 5, 0)
    with tenant_session(database, tenant.organization_id) as session:
        used = session.execute(
            select(func.sum(UsageRecord.quantity)).where(UsageRecord.meter == METER)
        ).scalar_one()
    assert used == period.used


def test_another_tenants_periods_are_not_touched(
    database: Database, organization: Organize, run: Run
) -> None:
    mine, theirs = organization(), organization()
    reserve(database, theirs, 10)
    with tenant_session(database, theirs.organization_id) as session:
        session.execute(update(QuotaPeriod).values(reserved=99))
    completion = run(mine, account, AccountQuota())
    assert completion.result["periods"] == []
    assert period_of(database, theirs).reserved == 99
