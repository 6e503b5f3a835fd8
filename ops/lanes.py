"""What all lanes look like at a moment, and how worker time was shared since an earlier one."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import redis

from config.celery import LANES
from worker.fairshare.queue import FairQueue
from worker.fairshare.view import TenantStats

Marks = Mapping[tuple[str, str], timedelta]
"""Worker time charged until some moment, by lane and tenant."""

NOTHING = timedelta(0)


@dataclass(frozen=True, slots=True)
class Reading:
    """Every tenant of every lane."""

    at: datetime
    lanes: Mapping[str, Mapping[str, TenantStats]]

    @property
    def marks(self) -> Marks:
        """What each tenant has been charged in each lane until now."""
        return {
            (lane, name): stats.used for lane, found in self.lanes.items() for name, stats in found.items()
        }


@dataclass(frozen=True, slots=True)
class TenantLine:
    """One tenant over all lanes."""

    tenant: str
    weight: float
    waiting: int
    delayed: int
    put_aside: int
    """Jobs of kinds that are paused."""
    in_flight: int
    oldest: datetime | None
    """When its oldest waiting job was queued."""
    entitled: float | None
    """Share of worker time that its weight gives it among the tenants with work; None: nobody has any."""
    received: float | None
    """Share that it got."""
    pace: float
    """Worker seconds it got in each second."""
    limited: bool
    """Held back by a rate limit."""

    @property
    def backlog(self) -> int:
        """Count every job that waits, whatever for."""
        return self.waiting + self.delayed + self.put_aside

    def age(self, at: datetime) -> float | None:
        """Return how long its oldest waiting job has waited at *at*, in seconds."""
        return None if self.oldest is None else max((at - self.oldest).total_seconds(), 0.0)

    def document(self, at: datetime) -> dict[str, Any]:
        """Return everything as JSON holds it."""
        told = {name: getattr(self, name) for name in self.__slots__ if name != "oldest"}
        return told | {"oldest_age_s": self.age(at)}


def read_lanes(client: redis.Redis, lanes: Iterable[str] = LANES) -> Reading:
    """Read every lane; a tenant that changes while it is read may come twice, and the last reading counts."""
    at = datetime.now(UTC)
    return Reading(
        at, {lane: {stats.tenant: stats for stats in FairQueue(client, lane).stats()} for lane in lanes}
    )


@dataclass(frozen=True, slots=True)
class Shares:
    """Who got how much worker time, and who was entitled to how much of it."""

    received: Mapping[str, float]
    """Seconds by tenant."""
    entitled: Mapping[str, float]
    over: timedelta

    @classmethod
    def sum(cls, parts: Iterable["Shares"]) -> "Shares":
        """Add up shares of spans that follow each other: who had work differs from one to the next."""
        received: defaultdict[str, float] = defaultdict(float)
        entitled: defaultdict[str, float] = defaultdict(float)
        over = NOTHING
        for part in parts:
            for name, seconds in part.received.items():
                received[name] += seconds
                entitled[name] += part.entitled[name]
            over += part.over
        return cls(received, entitled, over)

    @classmethod
    def between(cls, before: Reading, now: Reading) -> "Shares":
        """Compare two moments; in each lane those with work are entitled to its worker time by weight."""
        marks = before.marks
        received: defaultdict[str, float] = defaultdict(float)
        entitled: defaultdict[str, float] = defaultdict(float)
        for lane, tenants in now.lanes.items():
            gained = {
                name: max(stats.used - marks.get((lane, name), NOTHING), NOTHING).total_seconds()
                for name, stats in tenants.items()
            }
            working = {name: stats.weight for name, stats in tenants.items() if _works(stats) or gained[name]}
            lane_total, weights = sum(gained.values()), sum(working.values())
            for name, weight in working.items():
                received[name] += gained[name]
                entitled[name] += lane_total * weight / weights
        return cls(received, entitled, now.at - before.at)


def _works(stats: TenantStats) -> bool:
    """Tell whether it may run something now, or does: what is paused is entitled to nothing meanwhile."""
    return stats.in_flight > 0 or stats.place in {"ready", "burst"}


NO_SHARES = Shares({}, {}, NOTHING)


def tenant_lines(now: Reading, shares: Shares = NO_SHARES) -> list[TenantLine]:
    """Return every tenant's line, with the *shares* it had."""
    parts: defaultdict[str, list[TenantStats]] = defaultdict(list)
    for tenants in now.lanes.values():
        for name, stats in tenants.items():
            parts[name].append(stats)
    total = sum(shares.received.values())
    return [_line(name, found, shares, total) for name, found in parts.items()]


def _line(name: str, parts: Sequence[TenantStats], shares: Shares, total: float) -> TenantLine:
    received, seconds = shares.received.get(name, 0.0), shares.over.total_seconds()
    return TenantLine(
        tenant=name,
        weight=max(stats.weight for stats in parts),
        waiting=sum(stats.waiting for stats in parts),
        delayed=sum(stats.delayed for stats in parts),
        put_aside=sum(stats.set_aside for stats in parts),
        in_flight=sum(stats.in_flight for stats in parts),
        oldest=min((stats.oldest for stats in parts if stats.oldest is not None), default=None),
        entitled=shares.entitled.get(name, 0.0) / total if total else None,
        received=received / total if total else None,
        pace=received / seconds if seconds else 0.0,
        limited=any(stats.place == "limited" for stats in parts),
    )
