"""What a lane shows of itself: why a job waits, what a tenant has and got."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from worker.fairshare.units import from_us, moment_from_us


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a job has not run yet."""

    reason: str
    """running, paused, kind_paused, delayed, limited, capped or turn."""
    tenant: str
    kind: str
    jobs_before: int
    """Jobs of its tenant that come first."""
    tenants_before: int
    """Tenants whose turn comes first."""
    until: datetime | None
    """When the reason ends, if that is known."""
    in_flight: int
    average: timedelta | None
    """How long the tenant's jobs of this kind run."""
    workers_seen: datetime | None
    """When a worker was last heard of."""


@dataclass(frozen=True, slots=True)
class TenantStats:
    """What a tenant has in a lane, and got."""

    tenant: str
    weight: float
    waiting: int
    delayed: int
    in_flight: int
    oldest: datetime | None
    """When its oldest waiting job was queued."""
    used: timedelta
    """Worker time charged, guesses for jobs in flight included."""
    virtual_time: float
    place: str
    """Index it stands in: ready, burst, limited, due or none."""
    set_aside: int
    """Jobs of kinds that are paused."""


def explanation_of(row: Sequence[Any]) -> Explanation:
    """Read what ``explain.lua`` answers."""
    reason, tenant, kind = (value.decode() for value in row[:3])
    jobs, tenants, until, in_flight, average, seen = (float(value) for value in row[3:])
    return Explanation(
        reason=reason,
        tenant=tenant,
        kind=kind,
        jobs_before=int(jobs),
        tenants_before=int(tenants),
        until=moment_from_us(until),
        in_flight=int(in_flight),
        average=from_us(average) if average else None,
        workers_seen=moment_from_us(seen),
    )


def tenant_stats_of(row: Sequence[Any]) -> TenantStats:
    """Read what ``stats.lua`` answers of one tenant."""
    name, weight, waiting, delayed, in_flight, oldest, used, virtual_time, place, set_aside = row
    return TenantStats(
        tenant=name.decode(),
        weight=float(weight),
        waiting=waiting,
        delayed=delayed,
        in_flight=in_flight,
        oldest=moment_from_us(float(oldest)),
        used=from_us(float(used)),
        virtual_time=float(virtual_time),
        place=place.decode(),
        set_aside=set_aside,
    )
