"""What the lanes have and whom they serve, looked at by beat now and then and kept in Redis for who asks.

The picture is bounded: sums by plan, and a few tenants by name (who wait longest, who used most).
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any

import orjson
import redis
from sqlalchemy import select

from config.celery import LANES
from config.plans import PLANS
from config.settings import get_settings
from models.organization import Organization
from models.session import Database, RelayDatabase, relay_session
from worker.errand import now_and_then
from worker.fairshare.queue import FairQueue
from worker.fairshare.view import TenantStats

KEY = "genius:lanes"
TURN_KEY = "genius:lanes:turn"
KEPT = timedelta(minutes=10)
"""A picture that no beat renews is not told any longer."""

EVERY = timedelta(seconds=10)
LEAST_PAUSE = 50
"""Times as long as a look took: with very many tenants it must not keep Redis busy."""

WINDOW_S = 60.0
"""Over which shares are measured; a job may take longer than a look's pause."""

FEWEST_SECONDS = 5.0
"""Of worker time that a tenant should have got in a window; with less, chance decides."""


@dataclass(slots=True)
class Group:
    """Tenants together: of a lane, or those of one plan."""

    waiting: int = 0
    delayed: int = 0
    set_aside: int = 0
    in_flight: int = 0
    tenants: int = 0
    """Those with a job that waits."""
    oldest_s: float = 0.0
    entitled: float = 0.0
    """Share of worker time, among tenants that waited for their turn all the window."""
    received: float = 0.0


@dataclass(frozen=True, slots=True)
class Named:
    """One tenant of a lane."""

    tenant: str
    waiting: int
    in_flight: int
    oldest_s: float
    used_s: float
    """Worker time in the last window."""
    entitled: float
    received: float


@dataclass(frozen=True, slots=True)
class LaneView:
    """One lane."""

    total: Group
    plans: Mapping[str, Group]
    busiest: Sequence[Named]
    shortfall: float
    """Of the tenant that got least of what it was entitled to: which part of that it missed, 0 to 1."""


@dataclass(slots=True)
class Shares:
    """What tenants of a lane were entitled to and got in a window."""

    used: Mapping[str, float] = field(default_factory=dict)
    entitled: Mapping[str, float] = field(default_factory=dict)
    received: Mapping[str, float] = field(default_factory=dict)
    shortfall: float = 0.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What a window begins with."""

    at: float
    used: Mapping[str, float]
    in_turn: frozenset[str]


class Watch:
    """Looks at the lanes of one Redis again and again; remembers what shares are measured from."""

    def __init__(
        self,
        client: redis.Redis,
        plan_of: Callable[[], Mapping[str, str]],
        *,
        named: int,
        window_s: float = WINDOW_S,
    ) -> None:
        self._client = client
        self._plan_of = plan_of
        self._named = named
        self._window_s = window_s
        self._began: dict[str, Reading] = {}
        self._shares: dict[str, Shares] = defaultdict(Shares)

    def look(self) -> dict[str, Any]:
        """Return the picture as it is kept."""
        began, plans = time.time(), self._plan_of()
        lanes = {lane: asdict(self._lane(lane, plans)) for lane in LANES}
        return {"at": began, "took_s": time.time() - began, "lanes": lanes}

    def _lane(self, lane: str, plans: Mapping[str, str]) -> LaneView:
        # A tenant that changes while it is read may come twice; the last reading counts.
        tenants = {stats.tenant: stats for stats in FairQueue(self._client, lane).stats()}
        shares, now = self._measure(lane, tenants), time.time()
        groups: dict[str, Group] = defaultdict(Group)
        total = Group()
        for stats in tenants.values():
            for group in (total, groups[plans.get(stats.tenant, "unknown")]):
                add(group, stats, shares, now=now)
        return LaneView(
            total, dict(groups), name_busiest(tenants, shares, self._named, now=now), shares.shortfall
        )

    def _measure(self, lane: str, tenants: Mapping[str, TenantStats]) -> Shares:
        """Return the shares of the last window, which ends now if it is long enough."""
        reading = read(tenants.values())
        before = self._began.setdefault(lane, reading)
        if reading is not before and reading.at - before.at >= self._window_s:
            self._began[lane] = reading
            weights = {name: tenants[name].weight for name in before.in_turn & reading.in_turn}
            self._shares[lane] = shares_of(before.used, reading.used, weights)
        return self._shares[lane]


def read(tenants: Iterable[TenantStats]) -> Reading:
    """Note what a window begins or ends with."""
    listed = list(tenants)
    in_turn = (stats.tenant for stats in listed if stats.waiting and stats.place == "ready")
    return Reading(
        time.time(), {stats.tenant: stats.used.total_seconds() for stats in listed}, frozenset(in_turn)
    )


def shares_of(
    before: Mapping[str, float], after: Mapping[str, float], weights: Mapping[str, float]
) -> Shares:
    """Compare what tenants got with what their *weights* entitle them to.

    Only those in *weights* are compared: they waited for their turn, neither idle nor at a cap of their own.
    """
    used = {name: seconds - before.get(name, 0.0) for name, seconds in after.items()}
    all_weight = sum(weights.values())
    all_used = sum(max(used[name], 0.0) for name in weights)
    if not all_weight or not all_used:
        return Shares(used)
    entitled = {name: weight / all_weight for name, weight in weights.items()}
    received = {name: max(used[name], 0.0) / all_used for name in weights}
    missed = (
        1 - received[name] / share for name, share in entitled.items() if share * all_used >= FEWEST_SECONDS
    )
    return Shares(used, entitled, received, max(missed, default=0.0))


def add(group: Group, stats: TenantStats, shares: Shares, *, now: float) -> None:
    """Count a tenant in a group."""
    group.waiting += stats.waiting
    group.delayed += stats.delayed
    group.set_aside += stats.set_aside
    group.in_flight += stats.in_flight
    group.tenants += stats.waiting > 0
    group.oldest_s = max(group.oldest_s, age(stats, now=now))
    group.entitled += shares.entitled.get(stats.tenant, 0.0)
    group.received += shares.received.get(stats.tenant, 0.0)


def name_busiest(
    tenants: Mapping[str, TenantStats], shares: Shares, count: int, *, now: float
) -> list[Named]:
    """Return the *count* tenants that wait longest, and as many that used most."""
    by_wait = sorted(tenants.values(), key=lambda stats: age(stats, now=now), reverse=True)
    by_use = sorted(tenants, key=lambda name: shares.used.get(name, 0.0), reverse=True)
    chosen = dict.fromkeys([*(stats.tenant for stats in by_wait[:count]), *by_use[:count]])
    busy = (tenants[name] for name in chosen)
    return [
        Named(
            tenant=stats.tenant,
            waiting=stats.waiting,
            in_flight=stats.in_flight,
            oldest_s=age(stats, now=now),
            used_s=max(shares.used.get(stats.tenant, 0.0), 0.0),
            entitled=shares.entitled.get(stats.tenant, 0.0),
            received=shares.received.get(stats.tenant, 0.0),
        )
        for stats in busy
        if stats.waiting or stats.delayed or stats.in_flight or shares.used.get(stats.tenant)
    ]


def age(stats: TenantStats, *, now: float) -> float:
    """Return for how many seconds a tenant's oldest waiting job has waited."""
    return 0.0 if stats.oldest is None else max(now - stats.oldest.timestamp(), 0.0)


def plans_of(relay: RelayDatabase) -> dict[str, str]:
    """Return the plan of each organization, by the name under which the lanes know it."""
    with relay_session(relay) as session:
        rows = session.execute(select(Organization.organization_id, Organization.plan))
        return {str(organization_id): plan if plan in PLANS else "unknown" for organization_id, plan in rows}


@cache
def _watch(relay: RelayDatabase) -> tuple[redis.Redis, Watch]:
    settings = get_settings()
    timeout = settings.broker_timeout.total_seconds()
    client = redis.Redis.from_url(
        str(settings.redis_url), socket_timeout=timeout, socket_connect_timeout=timeout
    )
    return client, Watch(client, lambda: plans_of(relay), named=settings.metrics_tenants)


@now_and_then(EVERY)
def watch_lanes(relay: RelayDatabase, _: Database) -> int:
    """Look at the lanes and keep what there is to see, unless another beat has done so or it is too early."""
    client, watch = _watch(relay)
    pause_ms = int(EVERY.total_seconds() * 900)
    if not client.set(TURN_KEY, "", nx=True, px=pause_ms):
        return 0
    seen = watch.look()
    client.set(KEY, orjson.dumps(seen), ex=KEPT)
    client.set(TURN_KEY, "", px=max(pause_ms, int(seen["took_s"] * LEAST_PAUSE * 1000)))
    return len(LANES)


def last_look(client: redis.Redis) -> dict[str, Any] | None:
    """Return what a beat saw last; None: nothing of late.

    Raises:
        redis.RedisError: Redis is away.
    """
    kept: Any = client.get(KEY)
    return None if kept is None else orjson.loads(kept)
