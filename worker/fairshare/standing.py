"""What one tenant has in several lanes, in one call."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from worker.fairshare.queue import FairQueue, now
from worker.fairshare.script import load
from worker.fairshare.units import from_us, moment_from_us

FIELDS = 13


@dataclass(frozen=True, slots=True)
class Standing:
    """One tenant in one lane."""

    lane: str
    known: bool
    """False: the lane never heard of the tenant, or forgot it with everything else."""
    weight: float
    waiting: int
    delayed: int
    set_aside: int
    """Jobs of kinds that are paused."""
    in_flight: int
    oldest: datetime | None
    """When its oldest waiting job was queued."""
    first_due: datetime | None
    """When its first delayed job may run."""
    used: timedelta
    """Worker time charged, guesses for jobs in flight included."""
    average_run: timedelta | None
    """How long the waiting jobs that were looked at run, by what is known of their kinds."""
    paused: bool
    paused_kinds: frozenset[str]
    place: str
    """Index it stands in: ready, burst, limited, due or none."""

    @property
    def backlog(self) -> int:
        """Count every job that waits, whatever for."""
        return self.waiting + self.delayed + self.set_aside


def standings(queues: Sequence[FairQueue], tenant: str, *, sample: int = 0) -> list[Standing]:
    """Read what *tenant* has in each of *queues*, which share one client and clock.

    *sample* is how many of its waiting jobs to look at for ``average_run``; 0 leaves that None.
    """
    first = queues[0]
    keys = [queue.keys.base for queue in queues]
    reply = load("standing").run(first.client, keys, [now(first.clock), tenant, sample])
    rows = (reply[at : at + FIELDS] for at in range(0, len(reply), FIELDS))
    return [_standing(queue.lane, row) for queue, row in zip(queues, rows, strict=True)]


def _standing(lane: str, row: list[Any]) -> Standing:
    known, weight, *counts, oldest, due, used, average, paused, kinds, place = row
    waiting, delayed, set_aside, in_flight = counts
    return Standing(
        lane=lane,
        known=known == 1,
        weight=float(weight),
        waiting=waiting,
        delayed=delayed,
        set_aside=set_aside,
        in_flight=in_flight,
        oldest=moment_from_us(float(oldest)),
        first_due=moment_from_us(float(due)),
        used=from_us(float(used)),
        average_run=from_us(float(average)) if average != b"0" else None,
        paused=paused == 1,
        paused_kinds=frozenset(json.loads(kinds)) if kinds else frozenset(),
        place=place.decode(),
    )
