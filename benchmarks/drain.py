"""How fast no-op jobs drain, and what each costs: ours beside stock Celery, dramatiq and taskiq, in turn.

Every system acknowledges late. Run it as ``python benchmarks/drain.py [--rounds 3]
[--pools solo,threads,prefork,two-solo] [--without-rivals] [--redis-url URL] [--json PATH]``; dramatiq and
taskiq come with ``pip install --group bench``.
"""

import argparse
import json
import statistics
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from support.celery_system import CelerySystem
from support.rivals import DramatiqSystem, TaskiqSystem
from support.system import DRAMATIQ, ONE_QUEUE, OURS, TASKIQ, System, cpu_seconds, redis_server

SET_UPS = {"solo": (1, 1), "threads": (1, 10), "prefork": (1, 2), "two-solo": (2, 1)}
"""Workers and slots of each; a pool's name is what follows the dash, if there is one."""
JOBS = {OURS: 12_000, ONE_QUEUE: 2_000, DRAMATIQ: 5_000, TASKIQ: 5_000}
TENANTS = 10
HEAD, TAIL = 0.9, 0.1
"""Measured from where this share of the jobs is left to where that is."""

Case = tuple[str, str, int, int]
"""A system, its set-up, how many workers, and the slots of each."""


def system_of(name: str, redis_url: str) -> System:
    """Make the system of that name."""
    if name == DRAMATIQ:
        return DramatiqSystem(redis_url)
    if name == TASKIQ:
        return TaskiqSystem(redis_url)
    return CelerySystem(name, redis_url)


def measure(case: Case, redis_url: str) -> dict[str, float]:
    """Drain one queue; return jobs a second, the worker's processor time and the server's memory for each."""
    name, set_up, count, slots = case
    system = system_of(name, redis_url)
    jobs = JOBS[name]
    try:
        empty = system.memory()
        system.publish([(f"tenant-{n % TENANTS}", "bench.nothing", ()) for n in range(jobs)])
        memory = system.memory() - empty
        with system.workers(set_up.rpartition("-")[2], slots, count) as workers:
            began = system.wait_until_left(int(jobs * HEAD))
            first, used = system.left(), cpu_seconds(workers)
            ended = system.wait_until_left(int(jobs * TAIL))
            last, used = system.left(), cpu_seconds(workers) - used
    finally:
        system.close()
    done = first - last
    return {
        "jobs_a_second": done / (ended - began),
        "cpu_us": used / done * 1e6,
        "bytes_a_job": memory / jobs,
    }


def cases(set_ups: list[str], *, rivals: bool) -> list[Case]:
    """List what is measured, in order; a rival that is not installed is left out."""
    found = [(name, set_up, *SET_UPS[set_up]) for set_up in set_ups for name in (OURS, ONE_QUEUE)]
    if rivals and find_spec("dramatiq"):
        found.append((DRAMATIQ, "prefork", 1, 8))
    if rivals and find_spec("taskiq_redis"):
        found.append((TASKIQ, "prefork", 1, 2))
    return found


def run(redis_url: str, *, rounds: int, set_ups: list[str], rivals: bool = True) -> list[dict[str, Any]]:
    """Measure every case once a round, and return the medians."""
    found: dict[Case, list[dict[str, float]]] = {case: [] for case in cases(set_ups, rivals=rivals)}
    for _ in range(rounds):
        for case, rows in found.items():
            rows.append(measure(case, redis_url))
    return [
        {
            "system": name,
            "pool": set_up,
            "workers": count,
            "slots": slots,
            **{key: statistics.median(figures[key] for figures in rows) for key in rows[0]},
            "slowest": min(figures["jobs_a_second"] for figures in rows),
            "fastest": max(figures["jobs_a_second"] for figures in rows),
        }
        for (name, set_up, count, slots), rows in found.items()
    ]


def show(rows: list[dict[str, Any]], console: Console) -> None:
    """Print the medians, and how many times stock Celery with the same pool ours is."""
    table = Table(title="No-op drain, median of rounds")
    columns = ("system", "pool", "jobs/s", "slowest to fastest", "times stock", "CPU us a job", "of stock")
    for title in (*columns, "bytes a waiting job"):
        table.add_column(title, justify="left" if title in {"system", "pool"} else "right")
    stock = {row["pool"]: row for row in rows if row["system"] == ONE_QUEUE}
    for row in rows:
        base = stock.get(row["pool"])
        table.add_row(
            row["system"],
            f"{row['pool']} x {row['slots']}",
            f"{row['jobs_a_second']:,.0f}",
            f"{row['slowest']:,.0f} to {row['fastest']:,.0f}",
            f"{row['jobs_a_second'] / base['jobs_a_second']:.1f}" if base else "",
            f"{row['cpu_us']:,.0f}",
            f"1/{base['cpu_us'] / row['cpu_us']:.1f}" if base else "",
            f"{row['bytes_a_job']:,.0f}",
        )
    console.print(table)
    _show_lead(rows, console)


def _show_lead(rows: list[dict[str, Any]], console: Console) -> None:
    """Say how our fastest pool compares with the fastest rival."""
    rivals = [row for row in rows if row["system"] in {DRAMATIQ, TASKIQ}]
    if not rivals:
        return
    ours = max((row for row in rows if row["system"] == OURS), key=lambda row: row["jobs_a_second"])
    best = max(rivals, key=lambda row: row["jobs_a_second"])
    times = ours["jobs_a_second"] / best["jobs_a_second"]
    console.print(f"{OURS} ({ours['pool']}) drains {times:.1f} times as fast as {best['system']}")


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--redis-url", help="a Redis database; without it a server is started")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pools", default=",".join(SET_UPS))
    parser.add_argument("--without-rivals", action="store_true")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    with redis_server(options.redis_url) as redis_url:
        rows = run(
            redis_url,
            rounds=options.rounds,
            set_ups=options.pools.split(","),
            rivals=not options.without_rivals,
        )
    show(rows, Console(width=130))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
