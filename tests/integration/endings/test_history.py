"""Finished jobs go to the history and are found there, until their month is not kept any longer."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import func, select, text
from uuid_utils.compat import uuid7

from intake.views.explanation import explain_job
from intake.views.job import find_job, list_events, list_jobs
from models.job import DeadLetter, Job, JobState, PastJob
from models.organization import Tenant
from models.session import RelayDatabase, call_relay, tenant_session
from models.usage import QuotaReservation
from ops.stack import PostgresUrls
from tests.integration.endings.steps import Endings, leave
from tests.support import outcome
from worker.publish import Publisher
from worker.relay import run_pass
from worker.submit import JobStateError, cancel, retry

Run = Callable[..., None]
HOUR = timedelta(hours=1)


def archive(endings: Endings, *, older_than: timedelta = timedelta(0), batch: int = 100) -> int:
    """Move what finished longer ago than that, whatever became of it."""
    moment = datetime.now(UTC) - older_than
    with tenant_session(endings.database, endings.tenant.organization_id) as session:
        return int(session.scalars(select(func.app.archive_jobs(moment, moment, batch))).one())


def listed(endings: Endings, state: JobState | None = None, *, page: int = 2) -> list[Any]:
    """Walk a listing page by page."""
    ids: list[Any] = []
    with tenant_session(endings.database, endings.tenant.organization_id) as session:
        while True:
            before = ids[-1] if ids else None
            rows = list_jobs(session, state=state, kind=None, before=before, limit=page)
            ids += [row.id for row in rows]
            if len(rows) < page:
                return ids


def test_only_what_finished_long_enough_ago_is_moved(endings: Endings, run: Run) -> None:
    done, dead, cancelled, queued, running = endings.submit(*(leave(str(n)) for n in range(5)))
    run(done.id)
    endings.kill(dead.id)
    cancel(endings.database, endings.tenant, cancelled.id, publisher=endings.publisher)
    endings.begin(running.id)

    assert archive(endings, older_than=HOUR) == 0
    assert archive(endings, batch=2) == 2
    assert archive(endings) == 1
    with tenant_session(endings.database, endings.tenant.organization_id) as session:
        assert set(session.scalars(select(Job.id))) == {queued.id, running.id}
        assert set(session.scalars(select(PastJob.id))) == {done.id, dead.id, cancelled.id}
        assert session.scalars(select(DeadLetter.job_id)).all() == []
        assert set(session.scalars(select(QuotaReservation.job_id))) == {queued.id, running.id}
    assert outcome.ledger(endings.database, endings.tenant) == 1
    assert outcome.quota(endings.database, endings.tenant) == (1, 2)


def test_a_moved_job_is_shown_as_before(endings: Endings, run: Run) -> None:
    [job] = endings.submit(leave("x"))
    run(job.id)

    def shown() -> tuple[Any, ...]:
        with tenant_session(endings.database, endings.tenant.organization_id) as session:
            return find_job(session, job.id), list_events(session, job.id), explain_job(session, job.id)

    before = shown()
    assert archive(endings) == 1
    assert shown() == before
    assert before[0] is not None
    assert before[0].result == {"left": 1}
    assert [event.state for event in before[1]] == ["queued", "running", "succeeded"]


def test_a_listing_goes_through_the_living_and_the_history_in_one_order(endings: Endings, run: Run) -> None:
    jobs = endings.submit(*(leave(str(n)) for n in range(9)))
    for moved in (jobs[0], jobs[3], jobs[4], jobs[8]):
        run(moved.id)
    archive(endings)
    for job in (jobs[1], jobs[5]):
        run(job.id)

    newest_first = [job.id for job in reversed(jobs)]
    assert listed(endings) == newest_first
    finished = {jobs[n].id for n in (0, 1, 3, 4, 5, 8)}
    assert listed(endings, JobState.SUCCEEDED) == [job_id for job_id in newest_first if job_id in finished]
    assert listed(endings, JobState.QUEUED) == [job_id for job_id in newest_first if job_id not in finished]
    assert listed(endings, JobState.DEAD) == []


def test_a_moved_job_answers_its_key_and_is_waited_for_but_does_not_come_back(
    endings: Endings, run: Run
) -> None:
    keyed = leave("x", idempotency_key="k")
    [done] = endings.submit(keyed)
    [dead] = endings.submit(leave("y"))
    run(done.id)
    endings.kill(dead.id)
    assert archive(endings) == 2

    [again, other] = endings.submit(keyed, leave("z"))
    assert (again.id, again.state, again.replayed, other.replayed) == (done.id, "succeeded", True, False)
    [follower] = endings.submit(leave("f", after=done.id))
    assert (follower.state, follower.waits) == ("queued", False)
    for act in (retry, cancel):
        with pytest.raises(JobStateError):
            act(endings.database, endings.tenant, dead.id, publisher=endings.publisher)


def test_nobody_elses_jobs_are_moved(endings: Endings, run: Run, organization: Callable[..., Tenant]) -> None:
    [job] = endings.submit(leave("x"))
    run(job.id)
    stranger = Endings(endings.database, organization(name="Other"), endings.publisher)

    assert archive(stranger) == 0
    archive(endings)
    with tenant_session(endings.database, stranger.tenant.organization_id) as session:
        assert session.scalars(select(PastJob.id)).all() == []
        assert find_job(session, job.id) is None


def past_partitions(urls: PostgresUrls) -> list[str]:
    with psycopg.connect(urls.superuser_url or "") as connection:
        rows = connection.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent IN"
            " ('job_history'::regclass, 'job_events'::regclass) ORDER BY 1"
        ).fetchall()
    return [row[0] for row in rows]


def test_months_come_and_go_with_their_jobs_and_events(
    endings: Endings,
    relay_database: RelayDatabase,
    database_urls: PostgresUrls,
    publisher: Publisher,
) -> None:
    assert database_urls.superuser_url is not None
    with psycopg.connect(database_urls.superuser_url) as connection:
        for parent in ("job_history", "job_events"):
            connection.execute(
                f"CREATE TABLE {parent}_2024_01 PARTITION OF {parent} FOR VALUES FROM"
                " (app.first_id('2024-01-01Z')) TO (app.first_id('2024-02-01Z'))"
            )
            connection.execute(f"ALTER TABLE {parent}_2024_01 OWNER TO genius_owner")
        old = f"{uuid7()}"
        connection.execute(
            "INSERT INTO job_events (organization_id, job_id, id, attempt, state) SELECT"
            " %s, overlay(%s PLACING left(app.first_id('2024-01-10Z')::text, 8) FROM 1 FOR 8)::uuid,"
            " app.uuid7(), 1, 'succeeded'",
            (endings.tenant.organization_id, old),
        )
        assert connection.execute("SELECT count(*) FROM job_events_2024_01").fetchone() == (1,)
    before = past_partitions(database_urls)
    run_pass(relay_database, publisher)

    gone = set(before) - set(past_partitions(database_urls))
    assert gone == {"job_events_2024_01", "job_history_2024_01"}
    made = call_relay(relay_database, "turn_history", ahead=4, kept=timedelta(days=400))
    assert [dict(row) for row in made] == [{"made": 4, "dropped": 0}]
    assert len(past_partitions(database_urls)) == len(before) - 2 + 4


def test_the_application_drops_no_month_and_changes_no_history(endings: Endings, run: Run) -> None:
    [job] = endings.submit(leave("x"))
    run(job.id)
    archive(endings)
    for attack in (
        "SELECT app.turn_history(0, '1 day')",
        "UPDATE job_history SET state = 'dead'",
        "DELETE FROM job_history",
        "DELETE FROM job_events",
    ):
        with (
            pytest.raises(Exception, match="permission denied"),
            tenant_session(endings.database, endings.tenant.organization_id) as session,
        ):
            session.execute(text(attack))
