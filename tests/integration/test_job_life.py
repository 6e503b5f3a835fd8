"""The life of a job step by step, on real Postgres and real Redis, without a worker."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import redis
from celery.exceptions import Reject
from sqlalchemy import select, text

from config.celery import LANES
from config.settings import Settings
from models.job import DeadLetter, Job, JobEvent, JobLease, OutboxRow
from models.organization import Organization, Tenant
from models.session import Database, RelayDatabase, call, relay_session, tenant_session
from tests.support import outcome
from tests.support.kinds import LEAVE_CAMPAIGN, Leave, leave_campaign
from worker.context import Claim, LeaseLostError
from worker.execution import execute, take
from worker.fairshare.queue import FairQueue, Reserved
from worker.lease import get_lease_keeper
from worker.pointer import make_pointer
from worker.publish import Publisher, get_publisher
from worker.relay import REBUILD_EVERY_S, Pass, run_pass
from worker.submit import (
    IdempotencyConflictError,
    JobStateError,
    LimitExceededError,
    OrganizationInactiveError,
    Submission,
    SubmittedJob,
    cancel,
    retry,
    submit,
)

LEASE = timedelta(seconds=60)
"""The default of the settings."""


@pytest.fixture
def publisher(settings: Settings) -> Iterator[Publisher]:
    get_publisher.cache_clear()
    yield get_publisher()
    get_publisher.cache_clear()


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(str(settings.redis_url)) as client:
        yield client


@pytest.fixture
def tenant(organization: Callable[..., Tenant]) -> Tenant:
    return organization(plan="professional")


@pytest.fixture(autouse=True)
def _this_process_is_a_worker(
    database: Database, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    monkeypatch.setattr("worker.execution.get_database", lambda: database)
    monkeypatch.setattr("worker.lease.get_database", lambda: database)
    get_lease_keeper.cache_clear()
    yield
    get_lease_keeper.cache_clear()


def leave(name: str = "a", **options: Any) -> Submission:
    return Submission(LEAVE_CAMPAIGN, Leave(name=name, **options))


def reserve(client: redis.Redis, count: int = 10) -> list[Reserved]:
    return [job for lane in LANES for job in FairQueue(client, lane).reserve(count)]


def run(settings: Settings, tenant: Tenant, job_id: Any, *, attempts_made: int = 0) -> None:
    """Do what a worker does with the message of an attempt."""
    pointer = make_pointer(
        tenant.organization_id, job_id, kind=LEAVE_CAMPAIGN.name, attempts_made=attempts_made, due_at=None
    )
    execute(LEAVE_CAMPAIGN, leave_campaign, pointer.sign(settings.pointer_secret.get_secret_value().encode()))


def claim(database: Database, tenant: Tenant, job_id: Any, *, attempts_made: int = 0) -> Claim | None:
    pointer = make_pointer(
        tenant.organization_id, job_id, kind=LEAVE_CAMPAIGN.name, attempts_made=attempts_made, due_at=None
    )
    return take(database, pointer)


def row(database: Database, tenant: Tenant, job_id: Any) -> Job:
    with tenant_session(database, tenant.organization_id) as session:
        return session.get_one(Job, (tenant.organization_id, job_id))


def story(database: Database, tenant: Tenant, job_id: Any) -> list[str]:
    with tenant_session(database, tenant.organization_id) as session:
        return list(
            session.scalars(select(JobEvent.state).where(JobEvent.job_id == job_id).order_by(JobEvent.id))
        )


def one(database: Database, tenant: Tenant, submission: Submission, publisher: Publisher) -> SubmittedJob:
    [job] = submit(database, tenant, [submission], publisher=publisher)
    return job


def test_a_submitted_job_is_recorded_published_and_off_the_outbox(
    database: Database, tenant: Tenant, publisher: Publisher, client: redis.Redis
) -> None:
    job = one(database, tenant, leave(), publisher)

    assert row(database, tenant, job.id).state == "queued"
    assert outcome.leftovers(database, tenant) == {"leases": 0, "outbox": 0, "holds": 1}
    [reserved] = reserve(client)
    assert reserved.job == f"{job.id}:0"
    assert reserved.tenant == str(tenant.organization_id)


def test_the_message_carries_no_payload(
    database: Database, tenant: Tenant, publisher: Publisher, client: redis.Redis
) -> None:
    one(database, tenant, leave("very secret"), publisher)

    [reserved] = reserve(client)
    assert b"secret" not in reserved.message
    assert json.loads(reserved.message)["headers"]["task"] == LEAVE_CAMPAIGN.name


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


def lapse(database: Database, tenant: Tenant) -> None:
    """Let every lease of *tenant* run out."""
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(text("UPDATE job_leases SET leased_until = now() - interval '1 second'"))


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
    execute(LEAVE_CAMPAIGN, leave_campaign, pointer.sign(b"another secret"))

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


def test_a_waiting_job_without_a_message_gets_one_in_time(
    database: Database,
    relay_database: RelayDatabase,
    tenant: Tenant,
    publisher: Publisher,
    client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_pass(relay_database, publisher)
    one(database, tenant, leave(), publisher)
    FairQueue(client, "scoring").purge()
    assert run_pass(relay_database, publisher) == Pass()

    in_a_quarter = time.time() + REBUILD_EVERY_S
    monkeypatch.setattr("worker.relay.time.time", lambda: in_a_quarter)
    assert run_pass(relay_database, publisher) == Pass(rebuilt=1)
    assert len(reserve(client)) == 1


def test_a_key_is_the_same_job_again_and_another_body_is_refused(
    database: Database, tenant: Tenant, publisher: Publisher
) -> None:
    keyed = Submission(LEAVE_CAMPAIGN, Leave(name="a"), idempotency_key="k1")
    first = one(database, tenant, keyed, publisher)
    again = one(database, tenant, keyed, publisher)

    assert (again.id, again.replayed) == (first.id, True)
    assert outcome.quota(database, tenant) == (0, 1)
    with pytest.raises(IdempotencyConflictError):
        one(database, tenant, Submission(LEAVE_CAMPAIGN, Leave(name="b"), idempotency_key="k1"), publisher)
    assert outcome.states(database, tenant) == {"queued": 1}


def test_a_batch_over_the_quota_is_refused_whole(
    database: Database, organization: Callable[..., Tenant], publisher: Publisher
) -> None:
    tenant = organization(plan="starter")
    metered = [leave(str(n)) for n in range(1_000)]
    for _ in range(22):  # 20,000 and the 10 % a soft limit allows
        submit(database, tenant, metered, publisher=publisher)
    with pytest.raises(LimitExceededError, match="Upgrade plan to increase jobs_month limit") as refused:
        submit(database, tenant, metered[:1], publisher=publisher)

    assert refused.value.limit == 20_000
    assert outcome.quota(database, tenant) == (0, 22_000)


def test_an_inactive_organization_submits_nothing(
    database: Database, organization: Callable[..., Tenant], publisher: Publisher
) -> None:
    tenant = organization(status="suspended")
    with pytest.raises(OrganizationInactiveError):
        submit(database, tenant, [leave()], publisher=publisher)
    assert outcome.states(database, tenant) == {}


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


def set_status(database: Database, tenant: Tenant, status: str) -> None:
    with tenant_session(database, tenant.organization_id) as session:
        session.get_one(Organization, tenant.organization_id).status = status


def age_outbox(database: Database, tenant: Tenant) -> None:
    """Make the outbox rows of *tenant* old enough for the relay."""
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(
            text(
                "WITH old AS (DELETE FROM outbox RETURNING *) INSERT INTO outbox SELECT organization_id,"
                " job_id, attempt, kind, lane, priority, due_at, created_at - interval '1 minute' FROM old"
            )
        )


def test_a_waiting_job_is_cancelled_at_once_and_a_finished_one_is_not(
    database: Database, tenant: Tenant, publisher: Publisher, settings: Settings, client: redis.Redis
) -> None:
    waiting, finished = submit(database, tenant, [leave("w"), leave("f")], publisher=publisher)
    run(settings, tenant, finished.id)

    assert cancel(database, tenant, waiting.id, publisher=publisher) == "cancelled"
    assert [reserved.job for reserved in reserve(client)] == [f"{finished.id}:0"]
    run(settings, tenant, waiting.id)
    assert outcome.campaigns_left(database, tenant) == {"f": 1}
    with pytest.raises(JobStateError):
        cancel(database, tenant, finished.id)
    assert outcome.quota(database, tenant) == (1, 0)


def test_a_running_job_learns_that_it_is_cancelled(
    database: Database, tenant: Tenant, publisher: Publisher
) -> None:
    job = one(database, tenant, leave(), publisher)
    held = claim(database, tenant, job.id)
    assert held is not None
    with get_lease_keeper().hold(held) as hold:
        assert cancel(database, tenant, job.id) == "running"
        get_lease_keeper().renew()
        with pytest.raises(Exception, match="cancelled while running"):
            hold.check()


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


def test_a_job_submitted_while_redis_is_away_is_published_by_the_relay(
    database: Database,
    relay_database: RelayDatabase,
    tenant: Tenant,
    publisher: Publisher,
    settings: Settings,
    client: redis.Redis,
) -> None:
    nowhere = Publisher(settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))
    job = one(database, tenant, leave(), nowhere)
    assert reserve(client) == []
    run_pass(relay_database, publisher)
    client.flushdb()
    age_outbox(database, tenant)
    publish = run_pass(relay_database, publisher)

    assert publish.published == 1
    assert [reserved.job for reserved in reserve(client)] == [f"{job.id}:0"]


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
