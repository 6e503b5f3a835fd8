"""How long small tenants wait while one floods the queue, and how long they would with perfect fairness.

One tenant queues many jobs, then small tenants queue some each; one worker with 4 slots runs them. Three
workloads: equal jobs, the loud tenant's jobs 20 times longer, 2,000 tenants. Each system gets the same jobs
in the same order, and beside its waits stands what perfect fairness by worker time, at no cost, would have
given in that very run. Run it as ``python benchmarks/noisy_neighbour.py [--quick]
[--workloads equal,long,many] [--rounds 1] [--redis-url URL] [--json PATH]``.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from support import journal
from support.celery_system import CelerySystem
from support.perfect import perfect_waits
from support.rivals import DramatiqSystem
from support.system import DRAMATIQ, ONE_QUEUE, OURS, QUEUE_PER_TENANT, System, redis_server

LOUD = "loud"
PERFECT = "perfect fairness"
BATCH = 10
"""Small jobs published at once; their waits begin together, so it is few."""
RUNNING_BEFORE = 50
"""Jobs of the flood that are done when the small tenants come."""


@dataclass(frozen=True)
class Workload:
    """Who queues what."""

    name: str
    title: str
    flood: int
    small_tenants: int = 20
    jobs_each: int = 10
    job_seconds: float = 0.005
    loud_jobs_times: float = 1
    slots: int = 4

    @cached_property
    def small(self) -> list[str]:
        """Names of the small tenants."""
        return [f"small-{n}" for n in range(self.small_tenants)]

    @property
    def small_jobs(self) -> int:
        """How many jobs the small tenants have in all."""
        return self.small_tenants * self.jobs_each


WORKLOADS = {
    "equal": Workload("equal", "equal jobs", flood=10_000),
    "long": Workload("long", "the loud tenant's jobs 20 times longer", flood=1_000, loud_jobs_times=20),
    "many": Workload("many", "2,000 tenants", flood=10_000, small_tenants=1_999, jobs_each=1),
}
QUICK = Workload("equal", "equal jobs", flood=2_000)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that *share* of the values do not pass."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def figures(waits: Sequence[float]) -> dict[str, float]:
    """Return median, 99th percentile and mean (s)."""
    return {"p50": quantile(waits, 0.5), "p99": quantile(waits, 0.99), "mean": statistics.mean(waits)}


def system_of(name: str, redis_url: str, workload: Workload) -> System:
    """Make the system of that name, in its fairest set-up."""
    queues = [LOUD, *workload.small]
    if name == DRAMATIQ:
        return DramatiqSystem(redis_url, queues, prefetch=1)
    return CelerySystem(name, redis_url, queues if name == QUEUE_PER_TENANT else ["bench"])


def measure(name: str, redis_url: str, workload: Workload) -> dict[str, Any]:
    """Run the workload on one system and return its figures (s)."""
    system = system_of(name, redis_url, workload)
    loud_seconds = workload.loud_jobs_times * workload.job_seconds
    try:
        system.publish([(LOUD, "bench.sleep", (LOUD, loud_seconds, time.time()))] * workload.flood)
        with system.worker("threads", workload.slots):
            began = system.wait_until_left(workload.flood - RUNNING_BEFORE, seconds=60)
            _publish_small(system, workload)
            published = time.monotonic() - began
            runs = _wait_for_small(system, workload)
            rate = len(runs) / (time.monotonic() - began)
    finally:
        system.close()
    return {
        **figures([run.wait for run in runs if run.tenant != LOUD]),
        "jobs": workload.small_jobs,
        "published_in": published,
        "jobs_a_second": rate,
        "perfect": figures(perfect_waits(runs, loud=LOUD, slots=workload.slots)),
    }


def _publish_small(system: System, workload: Workload) -> None:
    """Publish tenant after tenant; a wait begins when the job's small batch is about to go out."""
    names = [tenant for tenant in workload.small for _ in range(workload.jobs_each)]
    for first in range(0, len(names), BATCH):
        now = time.time()
        batch = names[first : first + BATCH]
        system.publish([(tenant, "bench.sleep", (tenant, workload.job_seconds, now)) for tenant in batch])


def _wait_for_small(system: System, workload: Workload) -> list[journal.Run]:
    deadline = time.monotonic() + 60 + 2 * workload.flood * workload.loud_jobs_times * workload.job_seconds
    while time.monotonic() < deadline:
        runs = journal.read(system.journal)
        if sum(run.tenant != LOUD for run in runs) >= workload.small_jobs:
            return runs
        time.sleep(0.05)
    raise TimeoutError(f"{system.name}: the small tenants' jobs did not end")


def systems_for(workload: Workload, *, quick: bool) -> list[str]:
    """Name who takes part. dramatiq starts a thread for each queue, so it does not with 2,000."""
    names = [OURS, ONE_QUEUE, QUEUE_PER_TENANT]
    if not quick and workload.small_tenants < 100 and find_spec("dramatiq"):
        names.append(DRAMATIQ)
    return names


def run_workload(redis_url: str, workload: Workload, *, quick: bool, rounds: int) -> dict[str, Any]:
    """Measure every system, in turn; the figures are those of the round with the median p99."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in systems_for(workload, quick=quick)}
    for _ in range(rounds):
        for name, rows in found.items():
            rows.append(measure(name, redis_url, workload))
    systems = {
        name: sorted(rows, key=lambda row: row["p99"] / row["perfect"]["p99"])[len(rows) // 2]
        for name, rows in found.items()
    }
    ours = systems[OURS]
    return {
        "workload": asdict(workload),
        "systems": {PERFECT: ours["perfect"], **systems},
        "ratio_to_one_queue": ours["p99"] / systems[ONE_QUEUE]["p99"],
        "ratio_to_perfect": {part: ours[part] / ours["perfect"][part] for part in ("p50", "p99")},
    }


def show(result: dict[str, Any], console: Console) -> None:
    """Print the figures of one workload."""
    work = result["workload"]
    table = Table(
        title=f"{work['title']}: wait of {work['small_tenants']:,} small tenants with {work['jobs_each']} "
        f"jobs of {work['job_seconds'] * 1000:g} ms while one has {work['flood']:,} queued"
    )
    columns = ("p50 ms", "p99 ms", "perfect p50", "perfect p99", "p50 times", "p99 times", "jobs/s")
    for title in ("system", *columns):
        table.add_column(title, justify="left" if title == "system" else "right")
    for name, row in result["systems"].items():
        if name == PERFECT:
            continue
        ideal = row["perfect"]
        milliseconds = [
            f"{value * 1000:,.0f}" for value in (row["p50"], row["p99"], ideal["p50"], ideal["p99"])
        ]
        times = [f"{row[part] / ideal[part]:.2f}" for part in ("p50", "p99")]
        table.add_row(name, *milliseconds, *times, f"{row['jobs_a_second']:,.0f}")
    console.print(table)


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--redis-url", help="a Redis database; without it a server is started")
    parser.add_argument(
        "--quick", action="store_true", help="one workload, a smaller flood: about 20 seconds"
    )
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    parser.add_argument("--job-ms", type=float, default=5, help="how long a small tenant's job runs")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    workloads = [QUICK] if options.quick else [WORKLOADS[name] for name in options.workloads.split(",")]
    workloads = [replace(workload, job_seconds=options.job_ms / 1000) for workload in workloads]
    console = Console(width=140)
    results = []
    with redis_server(options.redis_url) as redis_url:
        for workload in workloads:
            result = run_workload(redis_url, workload, quick=options.quick, rounds=options.rounds)
            show(result, console)
            results.append(result)
    if options.json:
        options.json.write_text(json.dumps({**results[0], "workloads": results}, indent=2))


if __name__ == "__main__":
    main()
