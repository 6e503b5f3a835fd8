"""The whole life of a job, durable, bound to its tenant and accounted for, against rivals' bare jobs.

Every job does one UPDATE. Ours are recorded in Postgres and published, claimed, run under row-level
security, completed with their ledger; stock Celery's and dramatiq's are only in Redis, procrastinate's in
Postgres. Run it as ``python benchmarks/job_life.py [--rounds 3] [--tenants 4] [--json PATH]``.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psycopg
from rich.console import Console
from rich.table import Table
from support.celery_system import CelerySystem
from support.life import LIFE, LifeSystem, ProcrastinateSystem
from support.rivals import DramatiqSystem
from support.system import ONE_QUEUE, System, cpu_seconds
from support.update import ROWS, create_rows

from ops.stack import Stack, settings_from
from worker.submit import submit

JOBS = 4_000
HEAD, TAIL = 0.9, 0.1
"""Measured from where this share of the jobs is left to where that is."""
SINGLES, SINGLES_A_SECOND = 600, 200
BATCHES, BATCH = 10, 1_000

Make = Callable[[], System]


def drain(make: Make, pool: str, *, slots: int, workers: int) -> dict[str, float]:
    """Drain one queue and return jobs a second and the workers' processor time a job."""
    system = make()
    try:
        system.publish([("tenant", "bench.update", (n % ROWS,)) for n in range(JOBS)])
        with system.workers(pool, slots, workers) as processes:
            began = system.wait_until_left(int(JOBS * HEAD))
            first, used = system.left(), cpu_seconds(processes)
            ended = system.wait_until_left(int(JOBS * TAIL))
            last, used = system.left(), cpu_seconds(processes) - used
            system.wait_until_left(0)
    finally:
        system.close()
    return {"jobs_a_second": (first - last) / (ended - began), "cpu_us": used / (first - last) * 1e6}


def submissions(system: LifeSystem) -> dict[str, float]:
    """Return how fast jobs are accepted into Postgres and Redis: in batches, and singly at a steady rate."""
    tenant = next(iter(system.campaigns))
    wanted = system.submissions(tenant, BATCH)
    spans = []
    for _ in range(BATCHES):
        began = time.perf_counter()
        submit(system.database, tenant, wanted, publisher=system.publisher)
        spans.append(time.perf_counter() - began)
    singles = []
    began = time.perf_counter()
    for n in range(SINGLES):
        time.sleep(max(0.0, began + n / SINGLES_A_SECOND - time.perf_counter()))
        asked = time.perf_counter()
        submit(system.database, tenant, wanted[:1], publisher=system.publisher)
        singles.append((time.perf_counter() - asked) * 1e3)
    return {
        "batch_jobs_a_second": BATCH / statistics.median(spans),
        "single_p50_ms": statistics.median(singles),
        "single_p99_ms": statistics.quantiles(singles, n=100)[98],
    }


def run(*, rounds: int, tenants: int) -> dict[str, Any]:
    """Measure every system, interleaved over rounds; return the medians."""
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        bare = {name: value for name, value in os.environ.items() if not name.startswith("GENIUS_")}
        with Stack(Path(directory) / "stack", environ=bare) as stack:
            stack.migrate()
            os.environ.update(stack.environment())
            settings = settings_from(stack.environment())
            redis_url = str(settings.redis_url)
            os.environ["BENCH_DATABASE"] = _rivals_database(stack)
            ours = LifeSystem(redis_url, settings, tenants=tenants)
            accepted = submissions(ours)
            ours.client.flushdb()
            ours.close()
            contest: dict[str, tuple[Make, str, int, int]] = {
                LIFE: (lambda: LifeSystem(redis_url, settings, tenants=tenants), "threads", 16, 2),
                "celery": (lambda: CelerySystem(ONE_QUEUE, redis_url), "threads", 4, 2),
                "dramatiq": (lambda: DramatiqSystem(redis_url), "prefork", 8, 1),
                "procrastinate": (lambda: ProcrastinateSystem(redis_url), "", 16, 1),
            }
            for _ in range(rounds):
                for name, (make, pool, slots, workers) in contest.items():
                    found.setdefault(name, []).append(drain(make, pool, slots=slots, workers=workers))
    medians = {
        name: {key: statistics.median(row[key] for row in rows) for key in rows[0]}
        for name, rows in found.items()
    }
    return {"tenants": tenants, "drain": medians, "submit": accepted}


def _rivals_database(stack: Stack) -> str:
    superuser = stack.postgres.superuser_url
    assert superuser is not None, "the rivals' tables need a server of our own"
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute("CREATE DATABASE rivals")
    url = urlunsplit(urlsplit(superuser)._replace(path="/rivals"))
    create_rows(url)
    return url


def show(result: dict[str, Any], console: Console) -> None:
    """Print the medians, and ours as a multiple of each."""
    table = Table(title=f"One UPDATE a job, {result['tenants']} tenants (median of rounds)")
    for title in ("system", "jobs/s", "workers' CPU us a job", "ours is"):
        table.add_column(title, justify="left" if title == "system" else "right")
    ours = result["drain"][LIFE]["jobs_a_second"]
    for name, row in result["drain"].items():
        rate = row["jobs_a_second"]
        table.add_row(name, f"{rate:,.0f}", f"{row['cpu_us']:,.0f}", f"{ours / rate:.2f} times")
    console.print(table)
    accepted = result["submit"]
    console.print(
        f"submit: {accepted['batch_jobs_a_second']:,.0f} jobs/s in batches of {BATCH:,};"
        f" one by one at {SINGLES_A_SECOND}/s p50 {accepted['single_p50_ms']:.1f} ms,"
        f" p99 {accepted['single_p99_ms']:.1f} ms"
    )


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tenants", type=int, default=4)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    result = run(rounds=options.rounds, tenants=options.tenants)
    show(result, Console(width=120))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
