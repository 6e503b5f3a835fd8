"""How long small tenants wait while one tenant floods the queue: ours beside stock Celery.

One tenant queues many jobs at once, then 20 small tenants queue 10 each; one worker with 4 slots runs them.
Every system gets the same jobs in the same order. Run it as
``python benchmarks/noisy_neighbour.py [--redis-url URL] [--quick] [--json PATH] [--times 20]``.
"""

import argparse
import heapq
import json
import statistics
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from support.system import ONE_QUEUE, OURS, QUEUE_PER_TENANT, System, redis_server

SLOTS = 4
SMALL_TENANTS = 20
SMALL_JOBS = 10
JOB_SECONDS = 0.005
LOUD = "loud"
SMALL = tuple(f"small-{n}" for n in range(SMALL_TENANTS))
PERFECT = "perfect fairness"


def quantile(values: list[float], share: float) -> float:
    """Return the value that *share* of the values do not pass."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def measure(name: str, redis_url: str, *, flood: int, times: float) -> dict[str, float]:
    """Run the workload on one system and return its figures (seconds)."""
    queues = (LOUD, *SMALL) if name == QUEUE_PER_TENANT else ("bench",)
    system = System(name, redis_url, queues)
    try:
        system.publish([(LOUD, "bench.sleep", (LOUD, times * JOB_SECONDS, time.time()))] * flood)
        with system.worker("threads", SLOTS):
            began = system.wait_until_left(flood - 50, seconds=60)
            for tenant in SMALL:
                job = (tenant, "bench.sleep", (tenant, JOB_SECONDS, time.time()))
                system.publish([job] * SMALL_JOBS)
            published = time.monotonic() - began
            _wait_for_small(system, flood * times * JOB_SECONDS)
            small = [wait for tenant, waits in system.waits().items() if tenant != LOUD for wait in waits]
            drained = sum(len(waits) for waits in system.waits().values())
            rate = drained / (time.monotonic() - began)
    finally:
        system.close()
    return {
        "p50": quantile(small, 0.5),
        "p99": quantile(small, 0.99),
        "mean": statistics.mean(small),
        "jobs": len(small),
        "published_in": published,
        "jobs_a_second": rate,
    }


def _wait_for_small(system: System, seconds: float) -> None:
    deadline = time.monotonic() + 60 + 10 * seconds
    while time.monotonic() < deadline:
        waits = system.waits()
        if sum(len(waits.get(tenant, [])) for tenant in SMALL) >= SMALL_TENANTS * SMALL_JOBS:
            return
        time.sleep(0.02)
    raise TimeoutError(f"{system.name}: the small tenants' jobs did not end")


def perfect(*, flood: int, times: float) -> dict[str, float]:
    """Return the waits if every slot always took the tenant with the least worker time, at no cost."""
    used = dict.fromkeys([LOUD, *SMALL], 0.0)
    jobs = {LOUD: flood} | dict.fromkeys(SMALL, SMALL_JOBS)
    free = [(n * times * JOB_SECONDS / SLOTS, n) for n in range(SLOTS)]  # the flood holds every slot at first
    heapq.heapify(free)
    waits = []
    while any(jobs[tenant] for tenant in SMALL):
        moment, slot = heapq.heappop(free)
        tenant = min((tenant for tenant, left in jobs.items() if left), key=lambda tenant: used[tenant])
        length = times * JOB_SECONDS if tenant == LOUD else JOB_SECONDS
        jobs[tenant] -= 1
        used[tenant] += length
        heapq.heappush(free, (moment + length, slot))
        if tenant != LOUD:
            waits.append(moment)
    return {"p50": quantile(waits, 0.5), "p99": quantile(waits, 0.99), "mean": statistics.mean(waits)}


def run(redis_url: str, *, quick: bool, times: float = 1) -> dict[str, Any]:
    """Measure every system, one after another, and return the figures.

    Args:
        redis_url: A Redis database to use; other keys in it are left alone.
        quick: A smaller flood: about 20 seconds in all.
        times: How many times longer than the others' the loud tenant's jobs run.
    """
    flood = (2_000 if quick else 10_000) if times == 1 else 1_000
    systems = {PERFECT: perfect(flood=flood, times=times)} | {
        name: measure(name, redis_url, flood=flood, times=times)
        for name in (OURS, ONE_QUEUE, QUEUE_PER_TENANT)
    }
    return {
        "workload": {
            "flood": flood,
            "small_tenants": SMALL_TENANTS,
            "jobs_each": SMALL_JOBS,
            "job_seconds": JOB_SECONDS,
            "loud_jobs_times": times,
            "slots": SLOTS,
        },
        "systems": systems,
        "ratio_to_one_queue": systems[OURS]["p99"] / systems[ONE_QUEUE]["p99"],
        "ratio_to_perfect": systems[OURS]["p99"] / systems[PERFECT]["p99"],
    }


def show(result: dict[str, Any], console: Console) -> None:
    """Print the figures."""
    workload = result["workload"]
    jobs = f"jobs of {JOB_SECONDS * 1000:g} ms, the loud tenant's {workload['loud_jobs_times']:g} times that"
    flood = f"while one tenant has {workload['flood']:,} jobs queued"
    table = Table(title=f"Wait of {SMALL_TENANTS} small tenants {flood} ({SLOTS} slots, {jobs})")
    for title in ("system", "p50 ms", "p99 ms", "p99 against one queue", "jobs/s"):
        table.add_column(title, justify="left" if title == "system" else "right")
    slowest = result["systems"][ONE_QUEUE]["p99"]
    for name, figures in result["systems"].items():
        rate = figures.get("jobs_a_second")
        table.add_row(
            name,
            f"{figures['p50'] * 1000:,.0f}",
            f"{figures['p99'] * 1000:,.0f}",
            f"{figures['p99'] / slowest:.3f}",
            f"{rate:,.0f}" if rate else "",
        )
    console.print(table)


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--redis-url", help="a Redis database; without it a server is started")
    parser.add_argument("--quick", action="store_true", help="a smaller flood: about 20 seconds in all")
    parser.add_argument("--times", type=float, default=1, help="how much longer the loud tenant's jobs run")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    with redis_server(options.redis_url) as redis_url:
        result = run(redis_url, quick=options.quick, times=options.times)
    show(result, Console(width=120))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
