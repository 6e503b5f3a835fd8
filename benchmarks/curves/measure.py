"""Measure what the curves show."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import redis
from fairshare import verbs

from curves.stage import LOOK_EVERY, SLOTS, Stage

Plan = list[tuple[float, Callable[[Stage], None]]]
"""What to do, and when (s after the worker began)."""

SHORT, LONG = 0.01, 0.34
PLENTY = 4_000
BACKLOGS = (100, 1_000, 10_000, 100_000, 1_000_000)
FLOOD_SECONDS = 0.02
QUIET_TENANTS = 50
TENANTS = [10, 100, 1_000, 10_000, 100_000]


def shares(redis_url: str, plan: Plan, *, seconds: float) -> list[dict[str, Any]]:
    """Look ten times a second at the worker time of each tenant while *plan* is carried out."""
    stage = Stage(redis_url)
    looks: list[dict[str, Any]] = []
    left = list(plan)
    while left and left[0][0] <= 0:
        left.pop(0)[1](stage)
    with stage.worker():
        began = time.monotonic()
        while (now := time.monotonic() - began) < seconds:
            while left and left[0][0] <= now:
                left.pop(0)[1](stage)
            looks.append({"at": now, "used": stage.used()})
            time.sleep(LOOK_EVERY)
    stage.close()
    return looks


FLOOD: Plan = [
    (0, lambda stage: stage.queue_jobs("flood", 3 * PLENTY, SHORT)),
    (3, lambda stage: stage.queue_jobs("a", 1_500, SHORT)),
    (6, lambda stage: stage.queue_jobs("b", 800, SHORT)),
]
LONG_JOBS: Plan = [
    (0, lambda stage: stage.queue_jobs("long", 300, LONG)),
    (0, lambda stage: stage.queue_jobs("short", 2 * PLENTY, SHORT)),
]
NEW_WEIGHTS: Plan = [
    (0, lambda stage: stage.queue_jobs("a", 2 * PLENTY, SHORT)),
    (0, lambda stage: stage.queue_jobs("b", 2 * PLENTY, SHORT)),
    (4, lambda stage: stage.weigh("a", 4)),
    (8, lambda stage: stage.weigh("b", 8)),
]


def waits(redis_url: str) -> list[dict[str, float]]:
    """Measure how long fifty quiet tenants' jobs wait while one tenant's backlog grows."""
    stage = Stage(redis_url)
    rows = []
    quiet = [f"quiet-{n}" for n in range(QUIET_TENANTS)]
    queued = 0
    for backlog in BACKLOGS:
        stage.queue_jobs("flood", backlog - queued, FLOOD_SECONDS)
        queued = backlog
        rows.append({"backlog": backlog, **_waits_now(stage, quiet)})
        stage.journal.write_text("")
    stage.close()
    return rows


def _waits_now(stage: Stage, quiet: list[str]) -> dict[str, float]:
    with stage.worker():
        for round_ in range(1, 5):
            for tenant in quiet:
                stage.queue_jobs(tenant, 1, SHORT)
                time.sleep(FLOOD_SECONDS / SLOTS * 2)
                stage.queue_jobs("flood", 2, FLOOD_SECONDS)  # so that its backlog stays as it is
            while len(stage.waits(*quiet)) < round_ * len(quiet):
                time.sleep(LOOK_EVERY)
        found = sorted(stage.waits(*quiet))
    return {"p50": statistics.median(found), "p99": found[int(0.99 * len(found))], "jobs": len(found)}


def costs(redis_url: str) -> list[dict[str, Any]]:
    """Measure the server's time for each verb against the number of tenants."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
        return verbs(client, tenants=TENANTS)


def measure(redis_url: str) -> dict[str, Any]:
    """Measure everything, one after another."""
    return {
        "flood": shares(redis_url, FLOOD, seconds=10),
        "long_jobs": shares(redis_url, LONG_JOBS, seconds=14),
        "new_weights": shares(redis_url, NEW_WEIGHTS, seconds=12),
        "waits": waits(redis_url),
        "costs": costs(redis_url),
    }
