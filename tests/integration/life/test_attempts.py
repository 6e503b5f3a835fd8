"""Attempts are claimed, run, completed, failed and given up."""

import time
from collections.abc import Callable

import psycopg
import pytest
import redis
from celery.exceptions import Reject
from sqlalchemy import select, text

from config.settings import Settings
from models.job import DeadLetter, JobLease, OutboxRow
from models.organization import Tenant
from models.session import Database, RelayDatabase, call, tenant_session
from tests.integration.life.acts import LEASE, claim, lapse, leave, one, row, run, story
from tests.support import outcome
from tests.support.kinds import LEAVE_CAMPAIGN, leave_campaign
from worker.context import LeaseLostError
from worker.execution import execute
from worker.fairshare.queue import FairQueue
from worker.lease import get_lease_keeper
from worker.pointer import make_pointer
from worker.publish import Publisher
from worker.relay import run_pass
from worker.submit import retry


def test_an_attempt_leaves_its_effects_and_its_completion_together(
    database: Database, tenant: Tenant, publisher: Publisher, settings: Settings
) -> None:
    job = one(database, tenant, leave(), publisher)
    run(settings, tenant, job.id)

    assert row(database, tenant, job.id).state == "succeeded"
    assert row(database, tenant, job.id).result == {"left": 1}
    assert story(database, tenant, job.id) == ["queued", "running", "succeeded"]
    assert outcome.quota(database, tenant) == (1, 0)
    assert outcome.ledger(database, tenant) == 1
    assert outcome.leftovers(database, tenant) == {"leases": 0, "outbox": 0, "holds": 0}


def test_the_same_message_twice_has_effects_once(
    database: Database, tenant: Tenant, publisher: Publisher, settings: Settings
) -> None:
    job = one(database, tenant, leave(), publisher)
    run(settings, tenant, job.id)
    run(settings, tenant, job.id)

    assert outcome.campaigns_left(database, tenant) == {"a": 1}
    assert outcome.ledger(database, tenant) == 1


def test_a_holder_that_lost_its_lease_leaves_nothing(
    database: Database,
    tenant: Tenant,
    publisher: Publisher,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
) -> None:
    job = one(database, tenant, leave(sleep_ms=1), publisher)

    def steal(_: float) -> None:
        with tenant_session(database, tenant.organization_id) as session:
            session.execute(text("UPDATE jobs SET attempt = attempt + 1 WHERE id = :id"), {"id": job.id})

    monkeypatch.setattr("tests.support.kinds.time.sleep", steal)
    with pytest.raises(Exception, match="not ours any more"):
        run(settings, tenant, job.id)

    assert outcome.campaigns_left(database, tenant) == {}
    assert outcome.ledger(database, tenant) == 0


def test_a_failed_attempt_waits_for_its_next_one(
    database: Database, tenant: Tenant, publisher: Publisher, settings: Settings, client: redis.Redis
) -> None:
    job = one(database, tenant, leave(failures=1), publisher)
    run(settings, tenant, job.id)

    waiting = row(database, tenant, job.id)
    assert (waiting.state, waiting.attempt) == ("queued", 1)
    assert waiting.error == {"type": "RuntimeError", "message": "unexpected error; see the worker's log"}
    assert outcome.campaigns_left(database, tenant) == {}
    queue = FairQueue(client, "scoring")
    assert {queue.explain(f"{job.id}:{attempt}") is not None for attempt in (0, 1)} == {True}

    run(settings, tenant, job.id, attempts_made=1)
    assert story(database, tenant, job.id) == ["queued", "running", "queued", "running", "succeeded"]


def test_a_permanent_error_goes_to_the_dead_letters_and_gives_the_quota_back(
    database: Database, tenant: Tenant, publisher: Publisher, settings: Settings
) -> None:
    job = one(database, tenant, leave(failures=1, permanent=True), publisher)
    run(settings, tenant, job.id)

    assert row(database, tenant, job.id).state == "dead"
    with tenant_session(database, tenant.organization_id) as session:
        letter = session.get_one(DeadLetter, (tenant.organization_id, job.id))
        assert letter.error == {"type": "PermanentJobError", "message": "told to fail for good"}
    assert outcome.quota(database, tenant) == (0, 0)

    assert retry(database, tenant, job.id, publisher=publisher) == "queued"
    assert outcome.quota(database, tenant) == (0, 1)
    run(settings, tenant, job.id, attempts_made=1)
    assert row(database, tenant, job.id).state == "succeeded"
    assert outcome.quota(database, tenant) == (1, 0)


def test_attempts_are_used_up(
    database: Database, tenant: Tenant, publisher: Publisher, settings: Settings
) -> None:
    job = one(database, tenant, leave(failures=100), publisher)
    for attempts_made in range(LEAVE_CAMPAIGN.max_attempts):
        run(settings, tenant, job.id, attempts_made=attempts_made)

    dead = row(database, tenant, job.id)
    assert (dead.state, dead.attempt) == ("dead", LEAVE_CAMPAIGN.max_attempts)


def test_a_job_whose_workers_keep_dying_ends_in_the_dead_letters(
    database: Database, relay_database: RelayDatabase, tenant: Tenant, publisher: Publisher
) -> None:
    job = one(database, tenant, leave(), publisher)
    for attempts_made in range(LEAVE_CAMPAIGN.max_attempts):
        assert claim(database, tenant, job.id, attempts_made=attempts_made) is not None
        lapse(database, tenant)
        assert run_pass(relay_database, publisher).requeued == 1
    assert claim(database, tenant, job.id, attempts_made=LEAVE_CAMPAIGN.max_attempts) is None

    assert row(database, tenant, job.id).state == "dead"
    assert outcome.quota(database, tenant) == (0, 0)


def test_only_one_of_two_workers_gets_the_job(
    database: Database, tenant: Tenant, publisher: Publisher
) -> None:
    job = one(database, tenant, leave(), publisher)

    assert claim(database, tenant, job.id) is not None
    assert claim(database, tenant, job.id) is None


def test_another_organizations_pointer_claims_nothing(
    database: Database, tenant: Tenant, publisher: Publisher, organization: Callable[..., Tenant]
) -> None:
    job = one(database, tenant, leave(), publisher)

    assert claim(database, organization(name="Other"), job.id) is None
    assert row(database, tenant, job.id).state == "queued"


def test_a_forged_message_runs_nothing(database: Database, tenant: Tenant, publisher: Publisher) -> None:
    job = one(database, tenant, leave(), publisher)
    pointer = make_pointer(
        tenant.organization_id, job.id, kind=LEAVE_CAMPAIGN.name, attempts_made=0, due_at=None
    )
    execute(
        LEAVE_CAMPAIGN, leave_campaign, pointer.sign(b"another secret"), tenant=str(tenant.organization_id)
    )

    assert row(database, tenant, job.id).state == "queued"


def test_a_worker_that_cannot_claim_gives_the_message_back(
    database: Database,
    tenant: Tenant,
    publisher: Publisher,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = one(database, tenant, leave(), publisher)

    def broken(*_: object) -> None:
        raise NameError("a worker whose code is half deployed")

    monkeypatch.setattr("worker.execution.take", broken)
    with pytest.raises(Reject) as given_back:
        run(settings, tenant, job.id)
    assert given_back.value.requeue


def test_renewing_a_lease_that_was_taken_away_tells_so(
    database: Database, relay_database: RelayDatabase, tenant: Tenant, publisher: Publisher
) -> None:
    job = one(database, tenant, leave(), publisher)
    held = claim(database, tenant, job.id)
    assert held is not None
    with get_lease_keeper().hold(held) as hold:
        hold.check()
        lapse(database, tenant)
        run_pass(relay_database, publisher)
        get_lease_keeper().renew()
        with pytest.raises(LeaseLostError):
            hold.check()


def test_a_holder_that_slept_through_its_lease_knows_it_by_its_own_clock(
    database: Database, tenant: Tenant, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = one(database, tenant, leave(), publisher)
    held = claim(database, tenant, job.id)
    assert held is not None
    with get_lease_keeper().hold(held) as hold:
        hold.check()
        after_a_nap = time.monotonic() + 2 * LEASE.total_seconds()
        monkeypatch.setattr("worker.lease.time.monotonic", lambda: after_a_nap)
        with pytest.raises(LeaseLostError):
            hold.check()


def test_the_application_cannot_change_the_past(
    database: Database, tenant: Tenant, publisher: Publisher
) -> None:
    one(database, tenant, leave(), publisher)
    for attack in ("UPDATE job_events SET state = 'dead'", "DELETE FROM usage_ledger"):
        with (
            pytest.raises(Exception, match="permission denied"),
            tenant_session(database, tenant.organization_id) as session,
        ):
            session.execute(text(attack))


def test_a_lease_row_exists_exactly_while_the_job_runs(
    database: Database, tenant: Tenant, publisher: Publisher
) -> None:
    job = one(database, tenant, leave(), publisher)
    held = claim(database, tenant, job.id)
    assert held is not None
    with tenant_session(database, tenant.organization_id) as session:
        assert session.scalars(select(JobLease.attempt)).all() == [1]
        assert session.scalars(select(OutboxRow.job_id)).all() == []
    failed = call(
        database,
        tenant.organization_id,
        "fail_job",
        job=job.id,
        held_attempt=1,
        why={"type": "Test"},
        retry_at=None,
        counts=True,
    )
    assert failed[0]["state"] == "dead"
    assert outcome.leftovers(database, tenant) == {"leases": 0, "outbox": 0, "holds": 0}


def test_a_function_of_a_tenant_refuses_a_forged_seal(database: Database, tenant: Tenant) -> None:
    with (
        database.engine.connect() as connection,
        pytest.raises(Exception, match="forged") as refused,
    ):
        connection.execute(
            text("SELECT * FROM app.cancel_job(:seal, gen_random_uuid())"),
            {"seal": f"{tenant.organization_id}.9999999999.{'0' * 64}"},
        )
    assert isinstance(refused.value.__cause__ or refused.value.orig, psycopg.Error)  # type: ignore[attr-defined]
