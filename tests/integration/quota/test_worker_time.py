"""Worker time comes from what the queue has charged: once, whatever becomes of Redis."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import pytest
import redis
from uuid_utils.compat import uuid7

from config.settings import Settings
from models.meter import WORKER_SECONDS
from models.organization import Tenant
from models.session import Database, tenant_session
from tasks.catalog import ROLLUP
from tasks.payloads import Rollup
from tasks.quota_accounting.worker_time import Charged, book, read_charges
from tests.integration.quota.conftest import Books, Ledgers, change
from worker.fairshare.queue import Entry, FairQueue, Finish
from worker.publish import GENERATION_KEY, Publisher
from worker.refusal import LimitExceededError
from worker.submit import Submission, record

Limited = Callable[..., Tenant]


@dataclass
class Queue:
    """Runs jobs of a tenant that take as long as they are told, by a clock that is set forward."""

    client: redis.Redis
    ahead_us: int = 0

    def now(self) -> int:
        return time.time_ns() // 1000 + self.ahead_us

    def run(self, tenant: Tenant, lasting: timedelta, lane: str = "scoring") -> None:
        queue = FairQueue(self.client, lane, clock=self.now)
        queue.enqueue([Entry(str(uuid4()), b"", str(tenant.organization_id))])
        (job,) = queue.reserve()
        self.ahead_us += lasting // timedelta(microseconds=1)
        queue.finish([Finish(job.token, used=lasting)])


@pytest.fixture
def queue(settings: Settings) -> Iterator[Queue]:
    with redis.Redis.from_url(str(settings.redis_url)) as client:
        client.flushdb()
        yield Queue(client)


@pytest.fixture
def publisher(settings: Settings) -> Publisher:
    return Publisher(settings)


Count = Callable[[Tenant], int]


@pytest.fixture
def count(database: Database, publisher: Publisher) -> Count:
    """Read the queue's charges and book them, as upkeep does; return how many seconds were new."""

    def count_once(tenant: Tenant) -> int:
        charged = read_charges(publisher, tenant.organization_id)
        assert charged is not None
        with tenant_session(database, tenant.organization_id) as session:
            return book(session, tenant, charged, source=uuid7())

    return count_once


def seconds(ledgers: Ledgers, tenant: Tenant) -> int:
    books = ledgers.read(tenant, WORKER_SECONDS)
    assert books == Books(used=books.ledger, reserved=0, ledger=books.ledger, held=0)
    return books.used


def test_what_lanes_have_charged_is_booked_once_and_parts_of_a_second_wait(
    queue: Queue, count: Count, ledgers: Ledgers, limited: Limited
) -> None:
    tenant, neighbour = limited(), limited()
    queue.run(tenant, timedelta(seconds=90.6))
    queue.run(tenant, timedelta(seconds=30), lane="analytics")
    queue.run(neighbour, timedelta(seconds=7))
    assert [count(tenant), count(tenant)] == [120, 0]
    queue.run(tenant, timedelta(seconds=0.5))
    assert count(tenant) == 1
    assert (seconds(ledgers, tenant), count(neighbour)) == (121, 7)


def test_counts_at_once_book_each_second_once(
    queue: Queue, count: Count, ledgers: Ledgers, limited: Limited
) -> None:
    tenant = limited()
    for lasting in (500, 70, 70):  # the first makes the mark, which orders them by itself
        queue.run(tenant, timedelta(seconds=lasting))
        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(count, [tenant] * 16)) == lasting
    assert seconds(ledgers, tenant) == 640


def test_a_redis_that_lost_its_data_begins_again_and_nothing_is_lost_or_counted_twice(
    queue: Queue, count: Count, ledgers: Ledgers, limited: Limited
) -> None:
    tenant = limited()
    queue.run(tenant, timedelta(seconds=100))
    count(tenant)
    queue.client.flushdb()
    assert count(tenant) == 0
    queue.run(tenant, timedelta(seconds=40))
    assert [count(tenant), count(tenant)] == [40, 0]
    assert seconds(ledgers, tenant) == 140


def test_a_redis_set_back_to_an_older_state_adds_nothing_until_it_has_passed_what_was_counted(
    queue: Queue, count: Count, ledgers: Ledgers, limited: Limited
) -> None:
    tenant = limited()
    queue.run(tenant, timedelta(seconds=60))
    count(tenant)
    older = {key: queue.client.dump(key) or b"" for key in queue.client.keys("*")}
    assert GENERATION_KEY.encode() in older
    queue.run(tenant, timedelta(seconds=40))
    assert count(tenant) == 40
    queue.client.flushdb()
    for key, value in older.items():
        queue.client.restore(key, 0, value)
    queue.run(tenant, timedelta(seconds=30))
    assert count(tenant) == 0
    queue.run(tenant, timedelta(seconds=15))
    assert count(tenant) == 5
    assert seconds(ledgers, tenant) == 105


def test_without_redis_nothing_is_booked_and_the_next_reading_has_it_all(
    queue: Queue, count: Count, settings: Settings, limited: Limited
) -> None:
    tenant = limited()
    queue.run(tenant, timedelta(seconds=10))
    away = Publisher(settings.model_validate(settings.model_dump() | {"redis_url": "redis://127.0.0.1:1/0"}))
    assert read_charges(away, tenant.organization_id) is None
    assert count(tenant) == 10


def test_a_job_that_is_rolled_back_has_booked_nothing(
    queue: Queue, count: Count, database: Database, publisher: Publisher, limited: Limited
) -> None:
    tenant = limited()
    queue.run(tenant, timedelta(seconds=10))
    charged = read_charges(publisher, tenant.organization_id)
    assert charged is not None
    with suppress(RuntimeError), tenant_session(database, tenant.organization_id) as session:
        book(session, tenant, charged, source=uuid7())
        raise RuntimeError
    assert count(tenant) == 10


def spend(database: Database, tenant: Tenant, lasting: int) -> None:
    charged = Charged(f"life {uuid4()}", timedelta(seconds=lasting))
    with tenant_session(database, tenant.organization_id) as session:
        book(session, tenant, charged, source=uuid7())


def submit(database: Database, tenant: Tenant) -> None:
    record(database, tenant, [Submission(ROLLUP, Rollup())], requested_by=None, request_id=None)


def test_no_job_begins_once_worker_time_is_used_up_until_the_plan_allows_more(
    database: Database, ledgers: Ledgers, limited: Limited
) -> None:
    tenant = limited(worker_seconds_month=100)
    spend(database, tenant, 99)
    submit(database, tenant)
    spend(database, tenant, 31)
    with pytest.raises(LimitExceededError) as caught:
        submit(database, tenant)
    assert (caught.value.meter, caught.value.limit) == (WORKER_SECONDS, 100)
    assert seconds(ledgers, tenant) == 130, "what is spent is spent"
    assert ledgers.alerts(tenant, WORKER_SECONDS) == [80, 100]
    assert ledgers.read(tenant, "jobs_month").reserved == 1
    larger = change(database, tenant, worker_seconds_month=200)
    submit(database, larger)
    spend(database, larger, 69)
    submit(database, larger)
    spend(database, larger, 1)
    with pytest.raises(LimitExceededError):
        submit(database, larger)


def test_a_soft_limit_of_worker_time_lets_a_tenth_more_pass(database: Database, limited: Limited) -> None:
    tenant = limited(soft=(WORKER_SECONDS,), worker_seconds_month=100)
    spend(database, tenant, 109)
    submit(database, tenant)
    spend(database, tenant, 1)
    with pytest.raises(LimitExceededError):
        submit(database, tenant)
