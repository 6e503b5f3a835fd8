"""Brief jobs share a transaction: all of a group happens once, or each runs by itself as any job does."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from celery.exceptions import Reject, SoftTimeLimitExceeded
from sqlalchemy import text
from uuid_utils.compat import uuid7

from config.settings import Settings
from models.organization import Tenant
from models.session import Database, tenant_session
from models.transaction import tenant_transaction
from tests.integration.life.acts import claim, one, row, set_status, story
from tests.support import outcome
from tests.support.kinds import LEAVE_BRIEFLY, LEAVE_CAMPAIGN, Leave, leave_briefly
from worker.brief import Verdict, may_be_brief, run_group
from worker.claim import JobBusyError
from worker.complete import commit_held
from worker.context import Claim, Completion, DatabaseJob, Effects, LeaseLostError
from worker.execution import execute
from worker.job import BriefOutsideError
from worker.pointer import Pointer, make_pointer
from worker.publish import Publisher
from worker.submit import Submission, SubmittedJob, cancel, submit

OWN_SEAL = "current_setting('app.tenant_seal')"
CLEAN = {"leases": 0, "outbox": 0, "holds": 0}


def brief(name: str = "a", **options: Any) -> Submission:
    about = {key: options.pop(key) for key in ("after", "expires_at") if key in options}
    return Submission(LEAVE_BRIEFLY, Leave(name=name, **options), **about)


def pointer_of(tenant: Tenant, job_id: UUID, *, attempts_made: int = 0) -> Pointer:
    return make_pointer(
        tenant.organization_id, job_id, kind=LEAVE_BRIEFLY.name, attempts_made=attempts_made, due_at=None
    )


def group(database: Database, tenant: Tenant, jobs: Sequence[SubmittedJob]) -> list[Verdict]:
    """Run the jobs as one group."""
    return run_group(database, LEAVE_BRIEFLY, leave_briefly, [pointer_of(tenant, job.id) for job in jobs])


@pytest.fixture
def run(settings: Settings, tenant: Tenant) -> Callable[..., None]:
    """Do what a worker does with a message that runs by itself: ``run(job_id, attempts_made=0)``."""
    secret = settings.pointer_secret.get_secret_value().encode()

    def run_message(job_id: UUID, *, attempts_made: int = 0) -> None:
        pointer = pointer_of(tenant, job_id, attempts_made=attempts_made)
        execute(LEAVE_BRIEFLY, leave_briefly, pointer.sign(secret), tenant=str(tenant.organization_id))

    return run_message


def commits(database: Database, tenant: Tenant, jobs: Sequence[SubmittedJob]) -> int:
    """Count the transactions that wrote the rows of *jobs*."""
    with tenant_session(database, tenant.organization_id) as session:
        ids = [job.id for job in jobs]
        query = text("SELECT count(DISTINCT xmin::text) FROM jobs WHERE id = ANY (:ids)")
        return int(session.execute(query, {"ids": ids}).scalar_one())


def test_a_group_is_one_transaction_that_leaves_all_a_job_leaves(
    database: Database, tenant: Tenant, publisher: Publisher
) -> None:
    jobs = submit(database, tenant, [brief(str(n)) for n in range(20)], publisher=publisher)

    assert group(database, tenant, jobs) == [Verdict.DONE] * 20
    assert commits(database, tenant, jobs) == 1
    assert outcome.campaigns_left(database, tenant) == Counter({str(n): 1 for n in range(20)})
    assert {tuple(story(database, tenant, job.id)) for job in jobs} == {("queued", "running", "succeeded")}
    assert outcome.quota(database, tenant) == (20, 0)
    assert outcome.ledger(database, tenant) == 20
    assert outcome.leftovers(database, tenant) == CLEAN
    done = row(database, tenant, jobs[3].id)
    assert (done.state, done.attempt, done.result) == ("succeeded", 1, {"left": "3"})
    assert done.started_at is not None
    assert done.finished_at is not None
    assert jobs[3].created_at <= done.started_at <= done.finished_at


def test_the_same_message_twice_in_a_group_and_again_has_effects_once(
    database: Database, tenant: Tenant, publisher: Publisher, run: Callable[..., None]
) -> None:
    job = one(database, tenant, brief(), publisher)

    assert group(database, tenant, [job, job]) == [Verdict.DONE, Verdict.DONE]
    assert group(database, tenant, [job]) == [Verdict.ALONE]
    run(job.id)
    assert outcome.campaigns_left(database, tenant) == {"a": 1}
    assert outcome.ledger(database, tenant) == 1


def test_one_failing_body_takes_back_the_group_and_each_runs_by_itself(
    database: Database, tenant: Tenant, publisher: Publisher, run: Callable[..., None]
) -> None:
    bad = brief("bad", failures=1)
    jobs = submit(database, tenant, [brief("x"), bad, brief("y")], publisher=publisher)

    assert group(database, tenant, jobs) == [Verdict.ALONE] * 3
    assert outcome.campaigns_left(database, tenant) == {}
    assert outcome.states(database, tenant) == {"queued": 3}
    for job in jobs:
        run(job.id)
    assert outcome.campaigns_left(database, tenant) == {"x": 1, "y": 1}
    failed = row(database, tenant, jobs[1].id)
    assert (failed.state, failed.attempt) == ("queued", 1)
    run(jobs[1].id, attempts_made=1)
    assert outcome.campaigns_left(database, tenant) == {"x": 1, "y": 1, "bad": 1}
    told = story(database, tenant, jobs[1].id)
    assert told == ["queued", "running", "queued", "running", "succeeded"]
    assert outcome.quota(database, tenant) == (3, 0)


@contextmanager
def held_by_another(database: Database, tenant: Tenant, job: SubmittedJob) -> Iterator[None]:
    with tenant_transaction(database, tenant.organization_id) as transaction:
        transaction.execute("SELECT FROM jobs WHERE id = %s FOR NO KEY UPDATE", (job.id,)).fetchall()
        yield


def test_a_job_in_anothers_hands_is_left_out_and_its_message_comes_again(
    database: Database, tenant: Tenant, publisher: Publisher, run: Callable[..., None]
) -> None:
    jobs = submit(database, tenant, [brief("x"), brief("y")], publisher=publisher)

    with held_by_another(database, tenant, jobs[0]):
        assert group(database, tenant, jobs) == [Verdict.ALONE, Verdict.DONE]
        with pytest.raises(JobBusyError):
            claim(database, tenant, jobs[0].id)
        with pytest.raises(Reject) as given_back:
            run(jobs[0].id)
        assert given_back.value.requeue
    run(jobs[0].id)
    assert outcome.campaigns_left(database, tenant) == {"x": 1, "y": 1}


def test_what_is_not_to_run_any_more_is_left_out_of_a_group(
    database: Database, tenant: Tenant, publisher: Publisher, run: Callable[..., None]
) -> None:
    soon = datetime.now(UTC) + timedelta(milliseconds=1)
    wanted = [brief("runs"), brief("cancelled"), brief("expired", expires_at=soon), brief("claimed")]
    jobs = submit(database, tenant, wanted, publisher=publisher)
    cancel(database, tenant, jobs[1].id, publisher=publisher)
    assert claim(database, tenant, jobs[3].id) is not None

    assert group(database, tenant, jobs) == [Verdict.DONE, Verdict.ALONE, Verdict.ALONE, Verdict.ALONE]
    for job in jobs:
        run(job.id)
    states = [row(database, tenant, job.id).state for job in jobs]
    assert states == ["succeeded", "cancelled", "cancelled", "running"]
    assert outcome.campaigns_left(database, tenant) == {"runs": 1}


def test_no_job_of_an_inactive_organization_runs_in_a_group(
    database: Database, tenant: Tenant, publisher: Publisher, run: Callable[..., None]
) -> None:
    job = one(database, tenant, brief(), publisher)
    set_status(database, tenant, "suspended")

    assert group(database, tenant, [job]) == [Verdict.ALONE]
    run(job.id)
    assert outcome.leftovers(database, tenant)["outbox"] == 1


def test_a_group_lets_go_of_those_who_wait_for_its_jobs(
    database: Database, tenant: Tenant, publisher: Publisher
) -> None:
    first, second = submit(database, tenant, [brief("first"), brief("second", after=0)], publisher=publisher)

    assert group(database, tenant, [first, second]) == [Verdict.DONE, Verdict.ALONE]
    assert row(database, tenant, second.id).state == "queued"
    assert outcome.leftovers(database, tenant)["outbox"] == 1


def test_a_lost_row_takes_back_the_whole_group(
    database: Database, tenant: Tenant, publisher: Publisher
) -> None:
    jobs = submit(database, tenant, [brief("x"), brief("y")], publisher=publisher)
    held = [claim_of(tenant, job) for job in jobs]
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(text("UPDATE jobs SET attempt = 1 WHERE id = :id"), {"id": jobs[1].id})

    with tenant_transaction(database, tenant.organization_id) as transaction:
        for each in held:
            leave_briefly(DatabaseJob(each, transaction), Leave(name="never"))
        with pytest.raises(LeaseLostError):
            commit_held(transaction, held, [Completion(), Completion()], "test")
    assert outcome.campaigns_left(database, tenant) == {}
    assert outcome.ledger(database, tenant) == 0
    assert row(database, tenant, jobs[0].id).state == "queued"


def claim_of(tenant: Tenant, job: SubmittedJob) -> Claim:
    return Claim(tenant.organization_id, job.id, job.kind, 1, 10, {}, job.created_at)


@pytest.mark.parametrize(
    "message",
    [{"redelivered": True}, {"attempts_made": 1}, {"old": True}],
    ids=["redelivered", "tried before", "old"],
)
def test_what_went_wrong_before_runs_by_itself(tenant: Tenant, message: dict[str, Any]) -> None:
    pointer = pointer_of(tenant, uuid7(), attempts_made=message.get("attempts_made", 0))
    assert may_be_brief(LEAVE_BRIEFLY, pointer, redelivered=False) == ("attempts_made" not in message)
    if message.get("old"):
        pointer = pointer._replace(expires_at=1)
    assert not may_be_brief(LEAVE_BRIEFLY, pointer, redelivered=message.get("redelivered", False))


def test_a_time_limit_in_a_group_gives_the_message_back(
    database: Database, tenant: Tenant, publisher: Publisher
) -> None:
    job = one(database, tenant, brief(), publisher)

    def too_slow(_job: DatabaseJob, _payload: Leave) -> Completion:
        raise SoftTimeLimitExceeded

    assert run_group(database, LEAVE_BRIEFLY, too_slow, [pointer_of(tenant, job.id)]) == [Verdict.AGAIN]
    assert row(database, tenant, job.id).attempt == 0


def test_an_error_of_a_statement_nobody_waited_for_is_not_lost(
    database: Database, tenant: Tenant, publisher: Publisher
) -> None:
    job = one(database, tenant, brief(), publisher)

    def careless(job: DatabaseJob, _payload: Leave) -> Completion:
        job.execute(
            "INSERT INTO campaigns (organization_id, id, name) VALUES (gen_random_uuid(), NULL, NULL)"
        )
        return Completion()

    assert run_group(database, LEAVE_BRIEFLY, careless, [pointer_of(tenant, job.id)]) == [Verdict.ALONE]
    assert row(database, tenant, job.id).state == "queued"


def test_a_body_that_hides_an_error_of_the_database_does_not_succeed(
    database: Database, tenant: Tenant, publisher: Publisher
) -> None:
    job = one(database, tenant, brief(), publisher)

    def hiding(job: DatabaseJob, _payload: Leave) -> Completion:
        try:
            job.execute("SELECT 1 / 0").fetchall()
        except psycopg.Error:
            return Completion()
        raise AssertionError

    assert run_group(database, LEAVE_BRIEFLY, hiding, [pointer_of(tenant, job.id)]) == [Verdict.ALONE]
    assert row(database, tenant, job.id).state == "queued"


def test_the_orm_and_the_driver_work_in_one_transaction(
    database: Database, tenant: Tenant, publisher: Publisher
) -> None:
    job = one(database, tenant, brief(), publisher)

    def mixed(job: DatabaseJob, payload: Leave) -> Completion:
        leave_briefly(job, payload)
        seen = job.session.execute(text("SELECT name FROM campaigns")).scalars().all()
        return Completion({"seen": list(seen)})

    assert run_group(database, LEAVE_BRIEFLY, mixed, [pointer_of(tenant, job.id)]) == [Verdict.DONE]
    assert row(database, tenant, job.id).result == {"seen": ["a"]}


def test_a_body_that_leaves_a_connection_dirty_loses_it(
    database: Database, tenant: Tenant, publisher: Publisher
) -> None:
    job, after = submit(database, tenant, [brief(), brief("b")], publisher=publisher)
    backends: list[int] = []

    def dirty(job: DatabaseJob, _payload: Leave) -> Completion:
        [found] = job.execute(
            f"SELECT pg_backend_pid() AS pid, set_config('app.tenant_seal', {OWN_SEAL}, false)"
        )
        backends.append(found["pid"])
        return Completion()

    assert run_group(database, LEAVE_BRIEFLY, dirty, [pointer_of(tenant, job.id)]) == [Verdict.DONE]
    with tenant_session(database, tenant.organization_id) as session:
        assert session.execute(text("SELECT pg_backend_pid()")).scalar_one() not in backends
    assert group(database, tenant, [after]) == [Verdict.DONE]


def test_a_kind_that_calls_the_outside_is_not_brief() -> None:
    with pytest.raises(BriefOutsideError):
        replace(LEAVE_CAMPAIGN, effects=Effects.OUTSIDE, brief=True)
