"""Counts what became of each message, in a worker's main process: one to ask, whatever the pool."""

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from prometheus_client import CollectorRegistry, Counter, Histogram

from config.celery import LANES
from config.plans import PLANS
from worker.ending import Ending
from worker.origin import Origin
from worker.request import PointerRequest

REGISTRY = CollectorRegistry()
"""Of a worker; the process-wide one would bring what libraries put there."""

SPANS = (0.005, 0.02, 0.1, 0.5, 1, 5, 15, 60, 300, 1800)
"""Seconds, from a brief job to half an hour."""

WAIT = Histogram(
    "genius_job_wait_seconds",
    "From the moment an attempt might have begun until it did.",
    ["lane", "plan"],
    buckets=SPANS,
    registry=REGISTRY,
)
RUN = Histogram(
    "genius_job_run_seconds",
    "How long an attempt held its slot.",
    ["kind"],
    buckets=SPANS,
    registry=REGISTRY,
)
ENDED = Counter(
    "genius_jobs_ended", "Attempts, by how they ended.", ["kind", "plan", "ending"], registry=REGISTRY
)
WORKED = Counter(
    "genius_worker_seconds",
    "Worker time that organizations of a plan got.",
    ["lane", "plan"],
    registry=REGISTRY,
)


RARE = (Ending.FORGED, Ending.GIVEN_BACK, Ending.OVERTIME, Ending.LOST)
_MISHAPS = Counter(
    "genius_worker_mishaps", "Messages that ended as none should.", ["ending"], registry=REGISTRY
)
MISHAPS = {ending: _MISHAPS.labels(ending) for ending in RARE}
"""There from the start: of a series that begins at 1, Prometheus sees no increase."""


class Told(NamedTuple):
    """The series that one message moves."""

    wait: Histogram
    run: Histogram
    ended: Counter
    worked: Counter


@lru_cache(maxsize=1024)
def series(kind: str, lane: str, plan: str, ending: Ending) -> Told:
    """Return the series of a class of messages; a header that somebody made up adds none."""
    lane = lane if lane in LANES else "unknown"
    plan = plan if plan in PLANS else "unknown"
    return Told(
        WAIT.labels(lane, plan), RUN.labels(kind), ENDED.labels(kind, plan, ending), WORKED.labels(lane, plan)
    )


def count(kind: str, lane: str, origin: Origin, ending: Ending, seconds: float) -> None:
    """Count a message that was worked on for so long, until now."""
    told = series(kind, lane, origin.plan, ending)
    told.ended.inc()
    if ending in MISHAPS:
        MISHAPS[ending].inc()
    if ending in {Ending.MOVED_ON, Ending.FORGED}:
        return  # nothing ran
    told.run.observe(seconds)
    told.worked.inc(seconds)
    if origin.ready_at is not None and ending is not Ending.GIVEN_BACK:
        told.wait.observe(max(time.time() - seconds - origin.ready_at, 0.0))


class CountedRequest(PointerRequest):
    """A message in the hands of the main process, which hears how it ended."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Count in what Celery makes of this class for each task: its `on_success` calls no other."""
        super().__init_subclass__(**kwargs)
        cls.on_success = _counted(cls.on_success)  # type: ignore[method-assign] # what it is for

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        """Count a process that died or was ended; what an attempt itself raised was counted before."""
        match exc_info.exception:
            case TimeLimitExceeded():
                self.count(Ending.OVERTIME, 0.0)
            case WorkerLostError():
                self.count(Ending.LOST, 0.0)
        return super().on_failure(exc_info, *args, **kwargs)

    def count(self, ending: Ending, seconds: float) -> None:
        """Count this message."""
        lane = (self.delivery_info or {}).get("routing_key") or ""
        count(self.name, lane, Origin.of(self.request_dict), ending, seconds)


def _counted(on_success: Callable[..., Any]) -> Callable[..., Any]:
    def told(self: CountedRequest, outcome: tuple[int, Any, float], **kwargs: Any) -> Any:
        failed, value, seconds = outcome
        self.count(Ending.GIVEN_BACK if failed else ending_of(value), seconds or 0.0)
        return on_success(self, outcome, **kwargs)

    return told


def ending_of(representation: str) -> Ending:
    """Read what a child sent of a task's return value: its representation."""
    try:
        return Ending(representation.strip("'"))
    except ValueError:
        return Ending.SUCCEEDED  # a task that is no job of ours
