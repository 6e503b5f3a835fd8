"""What lost its message, its lease or its Redis comes back."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import redis
from sqlalchemy import delete, select, text

from config.settings import Settings
from models.job import OutboxRow
from models.organization import Tenant
from models.session import Database, RelayDatabase, relay_session, tenant_session
from tests.integration.life.acts import age_outbox, leave, one, reserve, row, run, set_status
from tests.support.kinds import LEAVE_CAMPAIGN, Leave
from tests.support.relay_clock import RelayClock
from tests.support.wait import wait_until
from worker.fairshare.queue import FairQueue
from worker.publish import Publisher
from worker.relay import Pass, run_pass
from worker.submit import Submission, record, submit


def test_a_waiting_job_without_a_message_gets_one_in_time(
    database: Database,
    relay_database: RelayDatabase,
    tenant: Tenant,
    publisher: Publisher,
    client: redis.Redis,
    relay_clock: RelayClock,
) -> None:
    run_pass(relay_database, publisher)
    one(database, tenant, leave(), publisher)
    FairQueue(client, "scoring").purge()
    assert run_pass(relay_database, publisher) == Pass()

    relay_clock.pass_period()
    assert run_pass(relay_database, publisher) == Pass(rebuilt=1)
    assert len(reserve(client)) == 1


def test_a_suspended_organizations_job_waits_until_it_is_active_again(
    database: Database,
    relay_database: RelayDatabase,
    tenant: Tenant,
    publisher: Publisher,
    settings: Settings,
) -> None:
    job = one(database, tenant, leave(), publisher)
    set_status(database, tenant, "suspended")
    run(settings, tenant, job.id)
    age_outbox(database, tenant)
    assert run_pass(relay_database, publisher).published == 0
    assert row(database, tenant, job.id).state == "queued"

    set_status(database, tenant, "active")
    assert run_pass(relay_database, publisher).published == 1
    run(settings, tenant, job.id)
    assert row(database, tenant, job.id).state == "succeeded"


def test_the_relay_waits_for_no_claim(
    database: Database, relay_database: RelayDatabase, tenant: Tenant, publisher: Publisher
) -> None:
    jobs = record(database, tenant, [leave("claimed"), leave("other")], requested_by=None, request_id=None)
    age_outbox(database, tenant)
    with ThreadPoolExecutor(1) as pool, tenant_session(database, tenant.organization_id) as claiming:
        claiming.execute(delete(OutboxRow).where(OutboxRow.job_id == jobs[0].id))
        passing = pool.submit(run_pass, relay_database, publisher)
        wait_until(passing.done)
        assert passing.result().published == 2
        assert not claiming.scalars(select(OutboxRow)).all(), "the other's row has gone"


def test_an_emptied_redis_is_rebuilt_from_postgres(
    database: Database,
    relay_database: RelayDatabase,
    tenant: Tenant,
    publisher: Publisher,
    client: redis.Redis,
) -> None:
    run_pass(relay_database, publisher)
    later = datetime.now(UTC) + timedelta(hours=1)
    now, delayed = submit(
        database,
        tenant,
        [leave("now"), Submission(LEAVE_CAMPAIGN, Leave(name="later"), run_at=later)],
        publisher=publisher,
    )
    client.flushdb()
    assert run_pass(relay_database, publisher) == Pass(rebuilt=2)
    assert run_pass(relay_database, publisher) == Pass()

    assert [reserved.job for reserved in reserve(client)] == [f"{now.id}:0"]
    explained = FairQueue(client, "scoring").explain(f"{delayed.id}:0")
    assert explained is not None
    assert explained.reason == "delayed"


def test_the_relay_cannot_read_a_payload(relay_database: RelayDatabase, tenant: Tenant) -> None:
    with (
        pytest.raises(Exception, match="permission denied"),
        relay_session(relay_database) as session,
    ):
        session.execute(text("SELECT payload FROM jobs"))
