"""Workers killed, Redis restarted: no job is lost, and none runs twice that need not."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from ops.embedded_redis import EmbeddedRedis
from tests.integration.fairshare.plain_app import PlainApp
from tests.support.wait import wait_until

LEASE_MS = "5000"
"""It outlasts a machine that stands still for three seconds."""
LONGER_THAN_A_LEASE = 9.0


@pytest.mark.parametrize("pool", ["solo", "threads", "prefork"])
def test_jobs_of_a_killed_worker_run_elsewhere_within_a_lease(plain_app: PlainApp, pool: str) -> None:
    doomed = plain_app.worker(pool)
    for i in range(20):
        plain_app.work(f"a/{i}", 0.05)
    plain_app.work("a/long", 300)
    wait_until(lambda: len(plain_app.done()) >= 5)
    doomed.kill()
    before = len(plain_app.began())
    plain_app.worker("threads", 4)
    wait_until(lambda: {f"a/{i}" for i in range(20)} <= set(plain_app.done()), 30)
    wait_until(lambda: "a/long" in plain_app.began()[before:], 30)
    assert plain_app.lane().audit() == 0


def test_a_job_reserved_and_never_delivered_comes_back(plain_app: PlainApp) -> None:
    plain_app.work("a/taken")
    (taken,) = plain_app.lane().reserve(1)  # and its holder is gone, before it knew
    assert plain_app.left() == 1
    short = plain_app.lane().keys
    plain_app.broker.zadd(short.of("leases"), {taken.token: 0})  # its lease is over
    plain_app.worker()
    wait_until(lambda: plain_app.done() == ["a/taken"])


def test_a_long_job_keeps_its_lease_and_runs_once(plain_app: PlainApp) -> None:
    plain_app.worker("threads", 1, PLAIN_LEASE_MS=LEASE_MS)
    plain_app.worker("threads", 1, PLAIN_LEASE_MS=LEASE_MS)
    plain_app.work("a/long", LONGER_THAN_A_LEASE)
    wait_until(plain_app.done)
    wait_until(lambda: plain_app.left() == 0)
    assert plain_app.began() == ["a/long"]


def test_a_job_that_never_ends_is_given_to_another_worker_at_last(plain_app: PlainApp) -> None:
    for _ in range(2):
        plain_app.worker("threads", 1, PLAIN_LEASE_MS="1000", PLAIN_LONGEST_RUN_MS="2000")
    plain_app.work("a/stuck", 300)
    wait_until(lambda: len(plain_app.began()) == 2)


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_a_long_job_keeps_its_lease_while_its_worker_stops(plain_app: PlainApp, pool: str) -> None:
    stopping = plain_app.worker(pool, 1, PLAIN_LEASE_MS=LEASE_MS)
    waiting = plain_app.worker("threads", 1, PLAIN_LEASE_MS=LEASE_MS)
    waiting.freeze()
    plain_app.work("a/long", LONGER_THAN_A_LEASE)
    wait_until(plain_app.began)
    stopping.ask_to_stop()
    waiting.thaw()
    wait_until(plain_app.done)
    wait_until(lambda: plain_app.left() == 0)
    assert plain_app.began() == ["a/long"]


@pytest.fixture
def own_server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path / "own", password="own", durable=request.param)
    server.start()
    with redis.Redis.from_url(server.url()) as client:
        # By default it answers before it writes while its disk is slow: what it forgets then comes again.
        client.config_set("appendfsync", "always")
    yield server
    server.stop()


@pytest.mark.parametrize("own_server", [True], indirect=True, ids=["durable"])
@pytest.mark.parametrize("pool", ["solo", "threads", "prefork"])
def test_a_redis_killed_and_restarted_loses_no_job_and_runs_none_twice(
    own_server: EmbeddedRedis, tmp_path: Path, pool: str
) -> None:
    with PlainApp(own_server, tmp_path) as app:
        app.worker(pool, 2, PLAIN_LEASE_MS="10000")  # longer than it takes to restart, on a busy machine too
        for i in range(30):
            app.work(f"a/{i}", 0.1)
        wait_until(lambda: len(app.done()) >= 4, 20)
        own_server.kill()
        own_server.start()
        wait_until(lambda: len(set(app.done())) == 30, 60)
        wait_until(lambda: app.left() == 0, 60)
        assert app.lane().audit() == 0
        assert len(app.began()) == 30


@pytest.mark.parametrize("own_server", [False], indirect=True, ids=["in memory"])
@pytest.mark.parametrize("pool", ["solo", "threads", "prefork"])
def test_what_a_redis_without_persistence_lost_runs_once_it_is_queued_again(
    own_server: EmbeddedRedis, tmp_path: Path, pool: str
) -> None:
    with PlainApp(own_server, tmp_path) as app:
        app.worker(pool, 2)

        def queue_all() -> None:
            for i in range(20):
                app.take_effect(f"a/{i}", 0.1, headers={"fair": {"id": f"job-{i}"}})

        queue_all()
        wait_until(lambda: len(app.done()) >= 4, 20)
        own_server.kill()
        own_server.start()
        queue_all()
        wait_until(lambda: len(app.done()) == 20, 60)
        wait_until(lambda: app.left() == 0)
        assert len(set(app.done())) == 20
        assert app.lane().audit() == 0
