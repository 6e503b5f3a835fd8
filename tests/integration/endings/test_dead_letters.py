"""Dead letters tell the whole story, group by error, and are given another life by filter."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from psycopg.types.json import Jsonb
from sqlalchemy import select, text

from models.job import DeadLetter
from models.organization import Tenant
from models.session import Database, call, tenant_session
from tests.integration.endings.steps import Endings, leave
from tests.support import outcome
from worker.dead_letter import BATCH, DeadLetterFilter, count_dead, requeue_dead
from worker.refusal import LimitExceededError
from worker.submit import quota_now

Run = Callable[..., None]
ALL = DeadLetterFilter()


def requeue(endings: Endings, wanted: DeadLetterFilter = ALL, *, limit: int = 10_000) -> tuple[int, int]:
    done = requeue_dead(endings.database, endings.tenant, wanted, limit=limit, publisher=endings.publisher)
    assert done.refusal is None
    return done.matched, done.requeued


def count(endings: Endings, wanted: DeadLetterFilter = ALL) -> int:
    return count_dead(endings.database, endings.tenant, wanted)


def die(endings: Endings, jobs: int, **why: Any) -> list[Any]:
    made = endings.submit(*(leave(str(n)) for n in range(jobs)))
    for job in made:
        endings.kill(job.id, why or None)
    return made


@pytest.fixture
def fingerprint(database: Database, tenant: Tenant) -> Callable[..., str]:
    def of(**why: Any) -> str:
        with tenant_session(database, tenant.organization_id) as session:
            query = text("SELECT app.fingerprint(:why)")
            return str(session.scalars(query, {"why": Jsonb(why)}).one())

    return of


def test_errors_that_differ_in_numbers_ids_and_names_only_are_one(fingerprint: Callable[..., str]) -> None:
    same = {
        fingerprint(type="E", message="post 12 of 'ann' failed"),
        fingerprint(type="E", message="post 7 of 'bob' failed"),
        fingerprint(type="E", message='post 01a20857-2b68-73ce-99bb-7973c489cae8 of "x y" failed'),
    }
    others = {
        fingerprint(type="F", message="post 12 of 'ann' failed"),
        fingerprint(type="E", message="post 12 of 'ann' was refused"),
        fingerprint(type="E", message="post 12 of 'ann' failed", place="tasks/a.py:f"),
        fingerprint(type="E"),
    }
    assert len(same) == 1
    assert len(same | others) == 5


def test_a_filter_finds_by_kind_error_and_moment(endings: Endings) -> None:
    [old] = die(endings, 1, type="E", message="a")
    moment = datetime.now(UTC)
    newer = die(endings, 2, type="E", message="b")
    fingerprint = endings.letter(newer[0].id).fingerprint

    wanted = {
        "all": ALL,
        "kind": DeadLetterFilter(kind="test.leave_campaign"),
        "other kind": DeadLetterFilter(kind="leads.score"),
        "error": DeadLetterFilter(fingerprint=fingerprint),
        "since": DeadLetterFilter(since=moment),
        "until": DeadLetterFilter(until=moment),
        "ids": DeadLetterFilter(job_ids=[old.id, newer[1].id]),
        "both": DeadLetterFilter(until=moment, fingerprint=fingerprint),
    }
    found = {name: count(endings, each) for name, each in wanted.items()}
    assert found == dict(zip(wanted, (3, 3, 0, 2, 2, 1, 2, 0), strict=True))


def test_requeued_jobs_run_again_and_hold_their_quota_anew(
    endings: Endings, run: Run, messages: Callable[[], list[str]]
) -> None:
    jobs = die(endings, 3, type="E", message="x")
    others = die(endings, 2, type="E", message="y")
    messages()
    fingerprint = endings.letter(jobs[0].id).fingerprint
    assert outcome.quota(endings.database, endings.tenant) == (0, 0)

    assert requeue(endings, DeadLetterFilter(fingerprint=fingerprint)) == (3, 3)
    assert endings.states(*jobs, *others) == ["queued"] * 3 + ["dead"] * 2
    assert outcome.quota(endings.database, endings.tenant) == (0, 3)
    assert sorted(messages()) == [f"{job.id}:1" for job in jobs]
    assert endings.outbox() == []
    run(jobs[0].id, attempts_made=1)
    assert endings.states(jobs[0]) == ["succeeded"]
    assert count(endings) == 2


def test_more_than_a_batch_is_requeued_oldest_first_up_to_the_limit(endings: Endings) -> None:
    jobs = endings.submit(*(leave(str(n)) for n in range(BATCH + 20)))
    with tenant_session(endings.database, endings.tenant.organization_id) as session:
        session.execute(text("UPDATE jobs SET state = 'dead', attempt = 1"))
        session.execute(
            text("SELECT app.end_job(organization_id, id, 1, 'dead', '{\"type\": \"E\"}') FROM jobs")
        )
    assert count(endings) == BATCH + 20
    assert requeue(endings, limit=BATCH + 10) == (BATCH + 20, BATCH + 10)
    assert endings.states(jobs[0], jobs[BATCH + 9], jobs[-10], jobs[-1]) == ["queued"] * 2 + ["dead"] * 2
    assert outcome.quota(endings.database, endings.tenant) == (0, BATCH + 10)


def test_a_batch_that_quota_does_not_cover_is_left_whole(endings: Endings) -> None:
    die(endings, 3)
    quota = dict(quota_now(endings.tenant))
    quota["limits"] = {"jobs_month": {"amount": 2, "ceiling": 2}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("worker.dead_letter.quota_now", lambda _: quota)
        done = requeue_dead(endings.database, endings.tenant, ALL, limit=10, publisher=endings.publisher)
    assert (done.matched, done.requeued) == (3, 0)
    assert isinstance(done.refusal, LimitExceededError)
    assert done.refusal.meter == "jobs_month"
    assert count(endings) == 3
    assert outcome.quota(endings.database, endings.tenant) == (0, 0)


def test_those_who_requeue_at_once_requeue_each_job_once(endings: Endings) -> None:
    jobs = die(endings, 30)
    gate = threading.Barrier(3)

    def requeue_together() -> int:
        gate.wait()
        rows = call(
            endings.database,
            endings.tenant.organization_id,
            "requeue_dead",
            jobs=[job.id for job in jobs],
            quota=quota_now(endings.tenant),
        )
        return len(rows)

    with ThreadPoolExecutor(3) as pool:
        for _ in range(5):
            done = [pool.submit(requeue_together) for _ in range(3)]
            assert sum(each.result() for each in done) == 30
            assert outcome.states(endings.database, endings.tenant) == {"queued": 30}
            assert outcome.quota(endings.database, endings.tenant) == (0, 30)
            with tenant_session(endings.database, endings.tenant.organization_id) as session:
                session.execute(text("UPDATE jobs SET state = 'dead'"))
                session.execute(
                    text("SELECT app.end_job(organization_id, id, attempt, 'dead', '{}') FROM jobs")
                )


def test_another_organizations_dead_letters_are_neither_counted_nor_requeued(
    endings: Endings, organization: Callable[..., Tenant]
) -> None:
    jobs = die(endings, 2)
    stranger = Endings(endings.database, organization(name="Other"), endings.publisher)
    wanted = DeadLetterFilter(job_ids=[job.id for job in jobs])

    assert count(stranger, wanted) == 0
    assert requeue(stranger, wanted) == (0, 0)
    rows = call(
        endings.database,
        stranger.tenant.organization_id,
        "requeue_dead",
        jobs=[job.id for job in jobs],
        quota=quota_now(stranger.tenant),
    )
    assert rows == []
    assert count(endings) == 2


def test_jobs_that_are_not_dead_stay_as_they_are(endings: Endings) -> None:
    queued, dead = endings.submit(leave("q"), leave("d"))
    endings.kill(dead.id)
    rows = call(
        endings.database,
        endings.tenant.organization_id,
        "requeue_dead",
        jobs=[queued.id, dead.id],
        quota=quota_now(endings.tenant),
    )
    assert [row["job_id"] for row in rows] == [dead.id]
    assert endings.story(queued.id) == ["queued"]


def test_the_index_on_errors_serves_the_application(endings: Endings) -> None:
    """Row-level security keeps an index from being used unless its operators are leakproof."""
    query = select(DeadLetter.job_id).where(DeadLetter.fingerprint == "f").order_by(DeadLetter.job_id.desc())
    compiled = query.limit(50).compile(compile_kwargs={"literal_binds": True})
    with tenant_session(endings.database, endings.tenant.organization_id) as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))
        plan = "\n".join(session.scalars(text(f"EXPLAIN {compiled}")))
    assert "ix_dead_letters_fingerprint" in plan
