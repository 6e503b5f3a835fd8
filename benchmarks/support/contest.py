"""Drain a queue and measure how fast it went, and at what cost in processor time."""

from collections.abc import Callable

from support.system import System, cpu_seconds
from support.update import ROWS

HEAD, TAIL = 0.9, 0.1
"""Measured from where this share of the jobs is left to where that is."""

Make = Callable[[], System]


def drain(make: Make, pool: str, *, slots: int, workers: int, jobs: int) -> dict[str, float]:
    """Drain one queue and return jobs a second and the workers' processor time a job."""
    system = make()
    try:
        system.publish([("tenant", "bench.update", (n % ROWS,)) for n in range(jobs)])
        with system.workers(pool, slots, workers) as processes:
            began = system.wait_until_left(int(jobs * HEAD))
            first, used = system.left(), cpu_seconds(processes)
            ended = system.wait_until_left(int(jobs * TAIL))
            last, used = system.left(), cpu_seconds(processes) - used
            system.wait_until_left(0)
    finally:
        system.close()
    return {"jobs_a_second": (first - last) / (ended - began), "cpu_us": used / (first - last) * 1e6}
