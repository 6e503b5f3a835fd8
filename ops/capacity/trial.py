"""Try computed slots: replay a stretch of the load through the real queue, on a clock that jumps."""

import random
from dataclasses import dataclass
from math import ceil

from config.plans import PROFESSIONAL, Plan
from ops.capacity.need import Load
from ops.simulation.outcome import simulate
from ops.simulation.scratch import Scratch
from ops.simulation.workload import Arrival, Workload, workload

US = 1_000_000
MOST_JOBS = 5_000
MOST_TENANTS = 200
"""A larger load is tried smaller, in proportion; a small system waits longer, so this errs to that side."""


@dataclass(frozen=True, slots=True)
class Trial:
    """How a load went on some slots."""

    slots: int
    jobs: int
    scale: float
    """Which part of the load was tried."""
    busy_slots: float
    """On average; scaled back."""
    wait_p50_s: float
    """Of the organization in the middle."""
    wait_p99_s: float
    """Of the organization that waited longest."""


def try_slots(
    scratch: Scratch, load: Load, slots: int, *, seconds: float = 60, most_jobs: int = MOST_JOBS
) -> Trial:
    """Replay *seconds* of *load* on its part of *slots*; the same load is the same replay."""
    scale = min(1.0, most_jobs / (load.jobs_per_second * seconds))
    tried = max(ceil(slots * scale), 1)
    arrivals = _workload(load, load.jobs_per_second * scale, seconds, random.Random(1))  # noqa: S311 - no secret
    seen = simulate(scratch, arrivals, None, slots=tried)
    outcomes = [of["before"] for of in seen.organizations.values()]
    middle = sorted(outcome.wait_p50_s for outcome in outcomes)[len(outcomes) // 2]
    return Trial(
        slots=tried,
        jobs=seen.jobs,
        scale=scale,
        busy_slots=sum(outcome.worker_time_s for outcome in outcomes) / seen.lasted_s["before"] / scale,
        wait_p50_s=middle,
        wait_p99_s=max(outcome.wait_p99_s for outcome in outcomes),
    )


def _workload(load: Load, rate: float, seconds: float, draw: random.Random) -> Workload:
    """Return jobs that come at random moments (Poisson) and take random times (exponential)."""
    names = [f"tenant {number}" for number in range(min(load.tenants, MOST_TENANTS))]
    terms: dict[str, Plan] = dict.fromkeys(names, PROFESSIONAL)
    arrivals, now = [], 0.0
    while (now := now + draw.expovariate(rate)) < seconds:
        took = draw.expovariate(1 / load.job_seconds)
        arrivals.append(Arrival(int(now * US), draw.choice(names), "leads.score", "scoring", int(took * US)))
    return workload(arrivals, {each.organization: terms[each.organization] for each in arrivals})
