"""The relay does a bounded round of work, goes on where it stopped, and tells how far it is behind."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import redis
from sqlalchemy import text

from config.settings import Settings
from models.organization import Organization
from models.session import RelayDatabase, tenant_session
from tests.integration.endings.steps import SOON, Endings, leave
from worker.fairshare.queue import FairQueue
from worker.publish import Publisher
from worker.relay import Pass, run_pass
from worker.relay_report import Lag, relay_lag

NOTHING = Lag(0, timedelta(0), 0, timedelta(0), 0, 0, timedelta(0), 0, 0, rebuilding=False)


@pytest.fixture
def small_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.relay.BATCH", 2)
    monkeypatch.setattr("worker.relay.PAGES_PER_PASS", 3)


@pytest.mark.usefixtures("small_rounds")
def test_a_lost_queue_is_rebuilt_some_pages_a_pass(
    endings: Endings,
    relay_database: RelayDatabase,
    publisher: Publisher,
    settings: Settings,
    messages: Callable[[], list[str]],
) -> None:
    jobs = endings.submit(*(leave(str(n)) for n in range(15)))
    run_pass(relay_database, publisher)
    while relay_lag(relay_database).rebuilding:
        run_pass(relay_database, publisher)
    assert relay_lag(relay_database) == NOTHING
    with redis.Redis.from_url(str(settings.redis_url)) as client:
        client.flushdb()

    rebuilt = [run_pass(relay_database, publisher).rebuilt for _ in range(4)]
    assert rebuilt == [6, 6, 3, 0]
    assert relay_lag(relay_database).missing == 15
    assert sorted(messages()) == sorted(f"{job.id}:0" for job in jobs)


@pytest.mark.usefixtures("small_rounds")
def test_relays_at_the_same_time_offer_every_job(
    endings: Endings, relay_database: RelayDatabase, publisher: Publisher, settings: Settings
) -> None:
    endings.submit(*(leave(str(n)) for n in range(40)))
    with redis.Redis.from_url(str(settings.redis_url)) as client:
        client.flushdb()
        publisher.generation()
        with ThreadPoolExecutor(4) as pool:
            for _ in range(10):
                list(pool.map(lambda _: run_pass(relay_database, publisher), range(4)))
        assert run_pass(relay_database, publisher) == Pass()
        [stats] = FairQueue(client, "scoring").stats()
        assert stats.waiting == 40


def test_the_lag_names_what_stands_still(endings: Endings, relay_database: RelayDatabase) -> None:
    boxed, lapsed, late, stale, _ = endings.submit(
        leave("boxed"), leave("lapsed"), leave("late", expires_at=datetime.now(UTC) + SOON), *map(leave, "xy")
    )
    endings.begin(lapsed.id)
    endings.pass_expiry(late.id)
    organization_id = endings.tenant.organization_id
    with tenant_session(endings.database, organization_id) as session:
        old_box = f"""
            INSERT INTO outbox SELECT organization_id, id, 0, kind, lane, priority, NULL,
                now() - interval '5 minutes' FROM jobs WHERE id = '{boxed.id}'"""
        old_lease = f"""
            INSERT INTO job_leases SELECT organization_id, id, 1, 'w', now() - interval '3 minutes'
            FROM jobs WHERE id = '{lapsed.id}'"""
        for statement in (old_box, old_lease, f"UPDATE jobs SET state = 'dead' WHERE id = '{stale.id}'"):
            session.execute(text(statement))
    lag = relay_lag(relay_database)

    assert (lag.unpublished, lag.lapsed, lag.expired, lag.stale_holds) == (1, 1, 1, 1)
    assert timedelta(minutes=5) <= lag.oldest_unpublished < timedelta(minutes=6)
    assert timedelta(minutes=3) <= lag.oldest_lapsed < timedelta(minutes=4)
    with tenant_session(endings.database, organization_id) as session:
        session.get_one(Organization, organization_id).status = "suspended"
    assert relay_lag(relay_database).unpublished == 0


def test_the_relay_reads_of_quota_only_who_holds(relay_database: RelayDatabase) -> None:
    with relay_database.engine.connect() as connection:
        connection.execute(text("SELECT organization_id, job_id, state FROM quota_reservations"))
    with (
        relay_database.engine.connect() as connection,
        pytest.raises(Exception, match="permission denied"),
    ):
        connection.execute(text("SELECT quantity FROM quota_reservations"))


def test_a_step_that_fails_keeps_no_other_from_its_work(
    endings: Endings, relay_database: RelayDatabase, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    [job] = endings.submit(leave("a"))
    run_pass(relay_database, publisher)
    endings.age(job.id)

    def fail(_: RelayDatabase) -> int:
        raise ValueError("a defect of ours")

    monkeypatch.setattr("worker.relay.requeue_lapsed", fail)
    done = run_pass(relay_database, publisher)
    assert (done.failed, done.published) == (("requeued",), 1)
    assert endings.outbox() == []


def test_an_organization_whose_terms_make_no_sense_stops_nobodys_relay(
    endings: Endings, relay_database: RelayDatabase, publisher: Publisher
) -> None:
    [job] = endings.submit(leave("a"))
    run_pass(relay_database, publisher)
    endings.age(job.id)
    with tenant_session(endings.database, endings.tenant.organization_id) as session:
        organization = session.get_one(Organization, endings.tenant.organization_id)
        organization.plan_overrides = {"of a later version": 1}

    assert run_pass(relay_database, publisher) == Pass(published=1)


@pytest.mark.usefixtures("small_rounds")
def test_a_pass_publishes_some_pages_of_the_outbox(
    endings: Endings, relay_database: RelayDatabase, publisher: Publisher
) -> None:
    jobs = endings.submit(*(leave(str(n)) for n in range(9)))
    while run_pass(relay_database, publisher) != Pass():
        pass
    endings.age(*(job.id for job in jobs))

    assert [run_pass(relay_database, publisher).published for _ in range(3)] == [6, 3, 0]


def test_months_that_cannot_be_made_keep_no_queue_from_being_rebuilt(
    endings: Endings, relay_database: RelayDatabase, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: RelayDatabase) -> int:
        raise ValueError("no room on the disk, say")

    monkeypatch.setattr("worker.relay.turn_months", fail)
    endings.submit(leave("a"))
    assert run_pass(relay_database, publisher) == Pass(rebuilt=1)
