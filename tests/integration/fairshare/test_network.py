"""A worker cut off for longer than a lease: its jobs run elsewhere, and it comes back."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from ops.port import LOOPBACK
from tests.integration.fairshare.plain_app import PlainApp, PlainWorker
from tests.support.proxy import Proxy
from tests.support.wait import wait_until

JOBS = 120
"""Enough that some are left when the worker goes away."""
LEASE_MS = "4000"
HASTY = '{"health_check_interval": 1, "socket_timeout": 2}'
"""A connection that died silently is noticed in two seconds, in place of half a minute."""


@pytest.fixture
def network(plain_app: PlainApp) -> Iterator[Proxy]:
    with Proxy(plain_app.server.port) as proxy:
        yield proxy


@dataclass(frozen=True)
class Absence:
    """How a worker goes away and comes back."""

    pool: str
    begin: Callable[[Proxy, PlainWorker], None]
    end: Callable[[Proxy, PlainWorker], None]


ABSENCES = {
    "cut, and held back": Absence("threads", lambda net, _: net.cut(), lambda net, _: net.restore()),
    "cut, and forgotten": Absence(
        "prefork", lambda net, _: net.cut(), lambda net, _: net.restore_for_new_connections()
    ),
    "frozen": Absence("prefork", lambda _, worker: worker.freeze(), lambda _, worker: worker.thaw()),
}


@pytest.mark.parametrize("absence", ABSENCES.values(), ids=list(ABSENCES))
def test_a_worker_away_for_longer_than_a_lease_loses_no_job(
    plain_app: PlainApp, network: Proxy, absence: Absence
) -> None:
    url = plain_app.url.replace(f"{LOOPBACK}:{plain_app.server.port}", f"{LOOPBACK}:{network.port}")
    away = plain_app.worker(absence.pool, 2, PLAIN_BROKER=url, PLAIN_OPTIONS=HASTY, PLAIN_LEASE_MS=LEASE_MS)
    for i in range(JOBS):
        plain_app.take_effect(f"a/{i}", 0.1)
    wait_until(lambda: len(plain_app.done()) >= 4)
    absence.begin(network, away)
    held = plain_app.in_flight()
    stand_in = plain_app.worker("threads", 6, PLAIN_LEASE_MS=LEASE_MS)
    wait_until(lambda: plain_app.left() == 0, 60)  # which takes a lease: what is held is left until then
    # Who is frozen between a job's effect and its line in the journal writes the line later.
    assert sorted(plain_app.effects()) == sorted(f"a/{i}" for i in range(JOBS))
    absence.end(network, away)
    stand_in.stop()
    plain_app.take_effect("a/after")
    wait_until(lambda: len(plain_app.done()) == JOBS + 1, 60)
    wait_until(lambda: plain_app.in_flight() == 0)
    assert 0 < held <= 4
    assert len(plain_app.began()) - (JOBS + 1) <= held
    assert len(set(plain_app.done())) == JOBS + 1
    assert plain_app.lane().audit() == 0
