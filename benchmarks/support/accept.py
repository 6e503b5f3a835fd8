"""How fast jobs are accepted into Postgres and Redis, and how soon they start when nothing else is to do."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import orjson
from sqlalchemy import select
from support.life import LifeSystem

from config.settings import Settings
from models.job import Job
from models.organization import Tenant
from models.session import tenant_session
from ops.port import LOOPBACK, free_port
from ops.token import mint_token
from worker.submit import submit

BATCHES, BATCH = 10, 1_000
SINGLES, SINGLES_A_SECOND = 600, 200
WAITS, WAITS_A_SECOND = 300, 20
WAITING_WORKER = ("threads", 4)


def batches(system: LifeSystem) -> dict[str, float]:
    """Submit batches one after the other, in this process."""
    tenant = system.tenants[0]
    wanted = system.submissions(BATCH)
    spans = [
        _timed(lambda: submit(system.database, tenant, wanted, publisher=system.publisher))
        for _ in range(BATCHES)
    ]
    return {"batch_jobs_a_second": BATCH / statistics.median(spans)}


def singles(system: LifeSystem) -> dict[str, float]:
    """Submit one by one at a steady rate."""
    tenant = system.tenants[0]
    wanted = system.submissions(1)
    spans = [
        _timed(lambda: submit(system.database, tenant, wanted, publisher=system.publisher)) * 1e3
        for _ in _paced(SINGLES, SINGLES_A_SECOND)
    ]
    return {"single_p50_ms": statistics.median(spans), "single_p99_ms": _p99(spans)}


def over_http(system: LifeSystem, settings: Settings) -> dict[str, float]:
    """Submit batches to an intake of one process."""
    tenant = system.tenants[0]
    wanted = system.submissions(BATCH)
    jobs = [{"kind": each.kind.name, "payload": each.payload.model_dump(mode="json")} for each in wanted]
    body = orjson.dumps({"jobs": jobs})
    headers = {
        "Authorization": f"Bearer {mint_token(settings, tenant)}",
        "Content-Type": "application/json",
    }
    port = free_port()
    url = f"http://{LOOPBACK}:{port}"
    command = [sys.executable, "-m", "uvicorn", "support.life_intake:app", "--host", LOOPBACK]
    arguments = ["--port", str(port), "--no-access-log", "--log-level", "warning"]
    intake = subprocess.Popen([*command, *arguments], env=_environment())  # noqa: S603 - our own command
    try:
        with httpx.Client(headers=headers, timeout=60) as client:
            _wait_for(lambda: client.get(f"{url}/healthz").is_success)
            for _ in range(2):
                client.post(f"{url}/api/v1/jobs/batch", content=body).raise_for_status()
            spans = [
                _timed(lambda: client.post(f"{url}/api/v1/jobs/batch", content=body).raise_for_status())
                for _ in range(BATCHES)
            ]
    finally:
        intake.terminate()
        intake.wait()
    return {"http_jobs_a_second": BATCH / statistics.median(spans)}


def waits(system: LifeSystem) -> dict[str, float]:
    """Submit single jobs to an idle worker: from before the submission until the row says that it started."""
    tenant = system.tenants[0]
    wanted = system.submissions(1)
    asked: dict[object, float] = {}
    with system.workers(*WAITING_WORKER, 1):
        submit(system.database, tenant, wanted, publisher=system.publisher)
        system.wait_until_left(0)
        for _ in _paced(WAITS, WAITS_A_SECOND):
            moment = time.time()
            [job] = submit(system.database, tenant, wanted, publisher=system.publisher)
            asked[job.id] = moment
        system.wait_until_left(0)
    spans = [
        (started - asked[job_id]) * 1e3 for job_id, started in _starts(system, tenant) if job_id in asked
    ]
    assert len(spans) == WAITS
    return {"wait_p50_ms": statistics.median(spans), "wait_p99_ms": _p99(spans)}


def _starts(system: LifeSystem, tenant: Tenant) -> list[tuple[object, float]]:
    with tenant_session(system.database, tenant.organization_id) as session:
        rows = session.execute(select(Job.id, Job.started_at).where(Job.started_at.is_not(None))).all()
    return [(job_id, started.timestamp()) for job_id, started in rows]


def _environment() -> Mapping[str, str]:
    roots = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(roots), "GENIUS_LOG_LEVEL": "WARNING"}


def _paced(count: int, a_second: int) -> Iterator[int]:
    began = time.perf_counter()
    for n in range(count):
        time.sleep(max(0.0, began + n / a_second - time.perf_counter()))
        yield n


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _p99(spans: list[float]) -> float:
    return statistics.quantiles(spans, n=100)[98]


def _wait_for(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if ready():
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise TimeoutError("the intake does not answer")
