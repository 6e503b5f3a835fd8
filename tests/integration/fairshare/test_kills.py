"""Workers killed at every point of a job's way: none is lost, and only what they held runs again."""

import signal

from tests.integration.fairshare.crash import POINTS
from tests.integration.fairshare.plain_app import PlainApp, PlainWorker
from tests.support.wait import wait_until

JOBS = 300
MOST_HELD = 4
"""Leases of one worker: two slots, each with a job in it and one on its way."""
LEASE_MS = "4000"
"""Long enough that no worker loses a lease because its machine is busy."""
CRASHING = "tests.integration.fairshare.crash"


def start_doomed(app: PlainApp) -> list[PlainWorker]:
    """Start one worker for each point."""
    return [
        app.start_worker("threads", 2, "-I", CRASHING, PLAIN_CRASH=point, PLAIN_LEASE_MS=LEASE_MS)
        for point in POINTS
    ]


def test_workers_killed_at_every_point_lose_no_job(plain_app: PlainApp) -> None:
    doomed = start_doomed(plain_app)
    for i in range(JOBS):
        plain_app.take_effect(f"a/{i}", 0.03)

    def all_died() -> bool:
        return all(worker.process.poll() is not None for worker in doomed)

    wait_until(all_died, 120)
    assert {worker.process.returncode for worker in doomed} == {-signal.SIGKILL}
    assert plain_app.left() > 0, "killed too late to prove anything"
    plain_app.worker("threads", 4, PLAIN_LEASE_MS=LEASE_MS)
    wait_until(lambda: plain_app.left() == 0, 120)
    assert sorted(plain_app.effects()) == sorted(f"a/{i}" for i in range(JOBS))
    assert len(set(plain_app.done())) == len(plain_app.done())
    # A job runs twice only if a killed worker held its lease, and no effect is there twice.
    assert len(plain_app.began()) - JOBS <= len(POINTS) * MOST_HELD
    assert set(plain_app.found_done()) <= set(plain_app.began())
    assert plain_app.lane().audit() == 0
    assert plain_app.in_flight() == 0
