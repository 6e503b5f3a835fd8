"""A worker told to stop lets its jobs finish, and ends within the deadline whatever happens."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from config.settings import Settings
from models.organization import Tenant
from models.session import Database
from ops.process import ChildProcess
from tests.support import outcome, stuck
from tests.support.gate import Gate
from tests.support.kinds import INCLUDE, LEAVE_CAMPAIGN, Leave
from tests.support.service import Services
from tests.support.wait import wait_until
from worker.publish import Publisher
from worker.shutdown import EXIT_CODE
from worker.submit import Submission, submit

DEADLINE_S = 3.0
SETTINGS = {"GENIUS_SHUTDOWN_DEADLINE": str(DEADLINE_S), "GENIUS_LEASE_TIME": "2"}
SLACK_S = 3.0


@pytest.fixture
def publisher(settings: Settings) -> Publisher:
    return Publisher(settings)


@pytest.fixture
def tenant(organization: Callable[..., Tenant]) -> Tenant:
    return organization()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


def running(database: Database, tenant: Tenant, publisher: Publisher, gate: Gate) -> None:
    """Submit a job that takes until *gate* is opened, and wait until it runs."""
    submission = Submission(LEAVE_CAMPAIGN, Leave(name="x", gate=gate.folder))
    submit(database, tenant, [submission], publisher=publisher)
    wait_until(gate.arrivals, timeout=60)
    assert outcome.states(database, tenant) == {"running": 1}


def stop(worker: ChildProcess, gate: Gate | None = None) -> float:
    """Tell it to stop, and open *gate* once it stops; return the seconds it took, its pool included."""
    family = [psutil.Process(worker.pid), *psutil.Process(worker.pid).children(recursive=True)]
    began = time.monotonic()
    family[0].send_signal(signal.SIGTERM)
    if gate:
        wait_until(lambda: b"Warm shutdown" in worker.fresh_log(), timeout=60)
        gate.open()
    wait_until(lambda: worker.exit_code is not None, timeout=60)
    taken = time.monotonic() - began
    _, alive = psutil.wait_procs(family, timeout=5)
    assert not alive, f"left behind: {alive}"
    return taken


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_job_that_ends_in_time_finishes(
    database: Database, tenant: Tenant, publisher: Publisher, services: Services, gate: Gate, pool: str
) -> None:
    patient = {"GENIUS_SHUTDOWN_DEADLINE": "50"}
    worker = services.worker(pool=pool, options=INCLUDE, environment=patient)
    running(database, tenant, publisher, gate)

    assert stop(worker, gate) < 50
    assert worker.exit_code == 0
    assert outcome.states(database, tenant) == {"succeeded": 1}


def test_a_job_that_does_not_end_in_time_runs_elsewhere(
    database: Database, tenant: Tenant, publisher: Publisher, services: Services, gate: Gate
) -> None:
    worker = services.worker(pool="prefork", options=INCLUDE, environment=SETTINGS)
    running(database, tenant, publisher, gate)
    assert DEADLINE_S <= stop(worker) < DEADLINE_S + SLACK_S
    assert worker.exit_code == EXIT_CODE

    services.beat(SETTINGS | {"GENIUS_RELAY_INTERVAL": "0.3"})
    wait_until(lambda: outcome.states(database, tenant)["queued"] == 1, timeout=60)
    assert outcome.campaigns_left(database, tenant) == {}


def test_a_shutdown_that_blocks_for_ever_ends_all_the_same(services: Services) -> None:
    worker = services.worker(pool="threads", options=stuck.INCLUDE, environment=SETTINGS)

    assert DEADLINE_S <= stop(worker) < DEADLINE_S + SLACK_S
    assert worker.exit_code == EXIT_CODE
