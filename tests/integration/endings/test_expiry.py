"""A job that nobody needs any more after a moment does not begin after it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from models.job import JobExpiry
from models.organization import Tenant
from models.session import RelayDatabase, tenant_session
from tests.integration.endings.steps import SOON, Endings, leave
from tests.support import outcome
from worker.expire import expire_due
from worker.publish import Publisher
from worker.submit import retry

Run = Callable[..., None]


def in_an_hour() -> datetime:
    return datetime.now(UTC) + SOON


def test_what_waits_past_its_expiry_is_cancelled_with_its_quota_and_its_message(
    endings: Endings,
    relay_database: RelayDatabase,
    publisher: Publisher,
    messages: Callable[[], list[str]],
) -> None:
    late, in_time, waiting = endings.submit(
        leave("late", expires_at=in_an_hour()), leave("in time", expires_at=in_an_hour()), leave("w", after=0)
    )
    endings.pass_expiry(late.id)
    assert expire_due(relay_database, endings.database, publisher) == 1

    assert endings.states(late, in_time, waiting) == ["cancelled", "queued", "cancelled"]
    error = endings.job(late.id).error
    assert error == {"type": "Expired", "message": "it had not started when it expired"}
    assert messages() == [f"{in_time.id}:0"]
    assert outcome.quota(endings.database, endings.tenant) == (0, 1)
    assert expire_due(relay_database, endings.database, publisher) == 0


def test_a_job_that_runs_when_it_expires_may_finish_but_not_begin_again(
    endings: Endings, relay_database: RelayDatabase, publisher: Publisher
) -> None:
    fails, lives = endings.submit(leave(expires_at=in_an_hour()), leave(expires_at=in_an_hour()))
    attempt = endings.begin(fails.id)
    endings.begin(lives.id)
    endings.pass_expiry(fails.id, lives.id)
    assert expire_due(relay_database, endings.database, publisher) == 0

    assert endings.fail(fails.id, attempt, retry_at=datetime.now(UTC)) == "cancelled"
    assert endings.states(lives) == ["running"]


def test_a_retry_after_the_expiry_is_not_waited_for(endings: Endings) -> None:
    [job] = endings.submit(leave(expires_at=in_an_hour()))
    attempt = endings.begin(job.id)
    assert endings.fail(job.id, attempt, retry_at=datetime.now(UTC) + 2 * SOON) == "cancelled"


def test_an_expired_job_that_is_wanted_after_all_expires_no_more(
    endings: Endings, relay_database: RelayDatabase, publisher: Publisher, run: Run
) -> None:
    [job] = endings.submit(leave(expires_at=in_an_hour()))
    endings.pass_expiry(job.id)
    expire_due(relay_database, endings.database, publisher)
    retry(endings.database, endings.tenant, job.id, publisher=publisher)
    run(job.id)

    assert endings.states(job) == ["succeeded"]


def test_every_organization_is_looked_at(
    endings: Endings,
    relay_database: RelayDatabase,
    publisher: Publisher,
    organization: Callable[..., Tenant],
) -> None:
    others = [Endings(endings.database, organization(name=name), publisher) for name in ("B", "C")]
    for each in (endings, *others):
        jobs = each.submit(*(leave(expires_at=in_an_hour() + timedelta(seconds=n)) for n in range(3)))
        each.pass_expiry(*(job.id for job in jobs[:2]))
    assert expire_due(relay_database, endings.database, publisher) == 6

    for each in (endings, *others):
        assert outcome.states(each.database, each.tenant) == {"cancelled": 2, "queued": 1}
        with tenant_session(each.database, each.tenant.organization_id) as session:
            assert len(session.scalars(select(JobExpiry.job_id)).all()) == 1
