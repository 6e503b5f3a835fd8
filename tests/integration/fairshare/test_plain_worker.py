"""A plain Celery app on the transport: everything it is used to works."""

from pathlib import Path

import pytest
import redis
from celery import chain, group, signature

from ops.embedded_redis import EmbeddedRedis
from tests.integration.fairshare.plain_app import PlainApp
from tests.support.wait import wait_until
from worker.fairshare.errors import BacklogFullError
from worker.fairshare.message import task_message
from worker.fairshare.queue import Entry

POOLS = ("solo", "threads", "prefork", "gevent")
A_YEAR = 365 * 24 * 3600
TASKS = "tests.integration.fairshare.plain_tasks"


@pytest.mark.parametrize("pool", POOLS)
def test_jobs_run_retry_and_wait_in_every_pool(plain_app: PlainApp, pool: str) -> None:
    plain_app.worker(pool)
    delayed = plain_app.send("add", 20, 22, countdown=0.6)
    assert plain_app.send("add", 1, 2).get(timeout=30) == 3
    assert plain_app.send("stubborn").get(timeout=30) == 2
    assert delayed.get(timeout=30) == 42
    wait_until(lambda: plain_app.left() == 0)


@pytest.mark.parametrize("pool", POOLS)
def test_a_worker_stops_warmly_and_finishes_what_runs(plain_app: PlainApp, pool: str) -> None:
    worker = plain_app.worker(pool, PLAIN_LEASE_MS="60000")
    plain_app.work("a/long", 1.0)
    wait_until(plain_app.began)
    plain_app.work("a/next")
    worker.stop()
    assert worker.process.returncode == 0
    assert "a/long" in plain_app.done()
    assert plain_app.in_flight() == 0
    # Celery does not hear any more of what ends while it stops: such a job is done and comes again.
    assert len(plain_app.done()) + plain_app.left() >= 2


def test_what_ran_when_a_worker_was_stopped_cold_runs_elsewhere(plain_app: PlainApp) -> None:
    stopped = plain_app.worker("prefork", 2, PLAIN_LEASE_MS="1000")
    for i in range(6):
        plain_app.take_effect(f"a/{i}", 10.0)
    wait_until(lambda: len(plain_app.began()) == 2)
    stopped.stop_cold()
    assert plain_app.done() == []
    plain_app.worker("threads", 6, PLAIN_LEASE_MS="1000")
    wait_until(lambda: sorted(plain_app.done()) == [f"a/{i}" for i in range(6)], 60)
    assert len(plain_app.began()) <= 6 + 2
    wait_until(lambda: plain_app.left() == 0)


def test_a_revoked_job_does_not_run(plain_app: PlainApp) -> None:
    plain_app.worker()
    assert plain_app.app.control.revoke("revoked-1", reply=True, timeout=30, limit=1)
    plain_app.work("a/revoked", task_id="revoked-1", countdown=0.5)
    plain_app.work("a/after", countdown=0.6)
    wait_until(lambda: plain_app.left() == 0)
    assert plain_app.done() == plain_app.began() == ["a/after"]


def test_a_delayed_job_waits_in_redis_and_never_in_a_worker(plain_app: PlainApp) -> None:
    plain_app.worker()
    for _ in range(50):
        plain_app.work("a/later", countdown=A_YEAR)
    plain_app.work("a/now")
    wait_until(plain_app.done)
    wait_until(lambda: plain_app.in_flight() == 0)
    assert plain_app.left() == 50
    (scheduled,) = plain_app.app.control.inspect(timeout=30, limit=1).scheduled().values()
    assert scheduled == []


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_worker_holds_no_more_than_it_runs(plain_app: PlainApp, pool: str) -> None:
    plain_app.worker(pool, 2)
    for i in range(30):
        plain_app.work(f"a/short{i}")
    wait_until(lambda: plain_app.left() == 0)
    for i in range(10):
        plain_app.work(f"a/{i}", 300.0)
    wait_until(lambda: len(plain_app.began()) == 32)
    wait_until(lambda: plain_app.in_flight() == 2)


def test_lanes_of_one_worker_do_not_starve_one_another(plain_app: PlainApp) -> None:
    for i in range(200):
        plain_app.work(f"a/{i}", 0.02, queue="flooded")
    plain_app.work("b/quiet", queue="quiet")
    plain_app.worker("solo", 1, "-Q", "flooded,quiet")
    wait_until(lambda: "b/quiet" in plain_app.began())
    assert plain_app.began().index("b/quiet") < 20


def test_a_batch_is_published_in_few_calls_and_runs(plain_app: PlainApp) -> None:
    before = plain_app.broker.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]
    with plain_app.app.producer_pool.acquire() as producer, producer.batch(100):
        for i in range(250):
            plain_app.work(f"a/{i}", producer=producer)
    after = plain_app.broker.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert after - before <= 6
    plain_app.worker()
    wait_until(lambda: len(plain_app.done()) == 250)
    assert len(set(plain_app.done())) == 250


def test_a_message_with_the_same_id_is_queued_once(plain_app: PlainApp) -> None:
    for _ in range(3):
        plain_app.work("a/once", headers={"fair": {"id": "job-1"}})
    plain_app.worker()
    plain_app.work("a/last")
    wait_until(lambda: plain_app.left() == 0)
    assert sorted(plain_app.done()) == ["a/last", "a/once"]


def test_a_ready_made_message_runs_like_any_other(plain_app: PlainApp) -> None:
    plain_app.worker()
    message = task_message(
        "celery", f"{TASKS}.work", task_id="made-1", args=["a/made", 0.0], headers={"tenant": "a"}
    )
    plain_app.lane().enqueue([Entry("made-1", message, "a", "work")])
    wait_until(lambda: plain_app.done() == ["a/made"])
    wait_until(lambda: plain_app.left() == 0)


def test_a_full_backlog_is_told_to_the_publisher(plain_app: PlainApp) -> None:
    fair = {"fair": {"max_backlog": 2}}
    for i in range(2):
        plain_app.work(f"a/{i}", headers=fair)
    with pytest.raises(BacklogFullError) as refused:
        plain_app.work("a/2", headers=fair)
    assert refused.value.tenant == "a"
    plain_app.work("b/0", headers=fair)
    assert plain_app.left() == 3


def test_what_a_task_publishes_belongs_to_its_tenant(plain_app: PlainApp) -> None:
    plain_app.worker("threads")
    add = signature(f"{TASKS}.add", app=plain_app.app)
    total = signature(f"{TASKS}.total", app=plain_app.app)
    steps = chain(add.clone((1, 1)), add.clone((2,)), group(add.clone((i,)) for i in range(3)) | total)
    assert steps.apply_async(headers={"tenant": "acme"}).get(timeout=30) == 15
    assert plain_app.send("stubborn", tenant="acme").get(timeout=30) == 2
    wait_until(lambda: plain_app.left() == 0)
    assert {row.tenant for row in plain_app.lane().stats()} == {"acme"}
    plain_app.send("add", 1, 2).get(timeout=30)
    assert {row.tenant for row in plain_app.lane().stats()} == {"acme", "default"}


@pytest.mark.parametrize("pool", POOLS)
def test_a_job_that_fails_inside_celery_gives_its_slot_back(plain_app: PlainApp, pool: str) -> None:
    plain_app.worker(pool, 1, PLAIN_RESULTS="redis://127.0.0.1:1/0")  # where no result can be stored
    plain_app.send("add", 1, 2)
    plain_app.send("no_such_task")
    plain_app.work("a/next")
    wait_until(lambda: plain_app.done() == ["a/next"])
    wait_until(lambda: plain_app.left() == 0)


def test_a_server_that_knows_but_some_of_the_scripts_strands_no_job(
    server: EmbeddedRedis, client: redis.Redis, tmp_path: Path
) -> None:
    client.script_flush()
    with PlainApp(server, tmp_path, options={"lease_ms": 60_000}) as app:
        app.lane().reserve(1)
        for number in range(4):
            app.work(f"acme/{number}")
        app.worker("prefork", 1)
        wait_until(lambda: app.left() == 0, message="every job runs long before a lease lapses")
