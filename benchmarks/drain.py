"""How fast no-op jobs drain, and what each costs the worker: ours beside stock Celery, in turn, over rounds.

Run it as ``python benchmarks/drain.py [--rounds 3] [--pools solo,threads,prefork] [--json PATH]``.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from support.system import ONE_QUEUE, OURS, System, cpu_seconds, redis_server

CONCURRENCY = {"solo": 1, "threads": 10, "prefork": 2}
JOBS = {OURS: 20_000, ONE_QUEUE: 4_000}
TENANTS = 10
HEAD, TAIL = 0.9, 0.1
"""Measured from where this share of the jobs is left to where that is."""


def measure(name: str, pool: str, redis_url: str) -> dict[str, float]:
    """Drain one queue and return jobs a second and processor time a job."""
    system = System(name, redis_url)
    jobs = JOBS[name]
    try:
        system.publish([(f"tenant-{n % TENANTS}", "bench.nothing", ()) for n in range(jobs)])
        with system.worker(pool, CONCURRENCY[pool]) as worker:
            began = system.wait_until_left(int(jobs * HEAD))
            first, used = system.left(), cpu_seconds(worker)
            ended = system.wait_until_left(int(jobs * TAIL))
            last, used = system.left(), cpu_seconds(worker) - used
    finally:
        system.close()
    return {"jobs_a_second": (first - last) / (ended - began), "cpu_us": used / (first - last) * 1e6}


def run(redis_url: str, *, rounds: int, pools: list[str]) -> list[dict[str, Any]]:
    """Measure every system with every pool, interleaved over rounds, and return the medians."""
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for _ in range(rounds):
        for pool in pools:
            for name in (OURS, ONE_QUEUE):
                found.setdefault((pool, name), []).append(measure(name, pool, redis_url))
    return [
        {
            "pool": pool,
            "system": name,
            **{key: statistics.median(figures[key] for figures in rows) for key in rows[0]},
            "slowest": min(figures["jobs_a_second"] for figures in rows),
            "fastest": max(figures["jobs_a_second"] for figures in rows),
        }
        for (pool, name), rows in found.items()
    ]


def show(rows: list[dict[str, Any]], console: Console) -> None:
    """Print the medians, and how many times stock ours is."""
    table = Table(title="No-op drain (median of rounds)")
    for title in ("pool", "system", "jobs/s", "slowest to fastest", "CPU us a job", "times stock"):
        table.add_column(title, justify="left" if title in {"pool", "system"} else "right")
    stock = {row["pool"]: row for row in rows if row["system"] == ONE_QUEUE}
    for row in rows:
        base = stock[row["pool"]]
        table.add_row(
            f"{row['pool']} x {CONCURRENCY[row['pool']]}",
            row["system"],
            f"{row['jobs_a_second']:,.0f}",
            f"{row['slowest']:,.0f} to {row['fastest']:,.0f}",
            f"{row['cpu_us']:,.0f}",
            f"{row['jobs_a_second'] / base['jobs_a_second']:.1f}",
        )
    console.print(table)


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--redis-url", help="a Redis database; without it a server is started")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pools", default=",".join(CONCURRENCY))
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    with redis_server(options.redis_url) as redis_url:
        rows = run(redis_url, rounds=options.rounds, pools=options.pools.split(","))
    show(rows, Console(width=120))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
