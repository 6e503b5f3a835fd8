"""Let Flower's page on the broker show what waits in each lane, and whose it is."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import flower.views
from kombu import Connection

from worker.fairshare.transport import ALIASES
from worker.fairshare.view import TenantStats

BUSIEST = 5
"""Tenants named of each lane."""

flowers_own = flower.views.Broker


class Lanes:
    """The broker as Flower asks it."""

    def __init__(self, url: str, **options: Any) -> None:
        self._connection = Connection(
            url, transport_options=options.get("broker_options"), ssl=options.get("broker_use_ssl") or False
        )

    async def queues(self, names: Iterable[str]) -> list[dict[str, Any]]:
        """Return what each lane has: how much waits and runs, and its busiest tenants."""
        return await asyncio.get_running_loop().run_in_executor(None, self._describe, list(names))

    def _describe(self, names: list[str]) -> list[dict[str, Any]]:
        with self._connection as connection:
            channel: Any = connection.channel()
            return [describe(name, channel.lane(name).stats()) for name in names]


def describe(lane: str, seen: Iterable[TenantStats]) -> dict[str, Any]:
    """Return what a lane has, in the words of Flower and, of its busiest tenants, in ours."""
    # A tenant that changes while it is read may come twice; the last reading counts.
    known = {stats.tenant: stats for stats in seen}.values()
    tenants = [stats for stats in known if any(_business(stats)[:2])]
    ready = sum(stats.waiting for stats in tenants)
    return {
        "name": lane,
        "messages": ready + sum(stats.delayed + stats.set_aside for stats in tenants),
        "messages_ready": ready,
        "messages_unacknowledged": sum(stats.in_flight for stats in tenants),
        "oldest_age_s": max((age for stats in tenants if (age := _age(stats)) is not None), default=None),
        "tenants": [_busy(stats) for stats in sorted(tenants, key=_business, reverse=True)[:BUSIEST]],
    }


def _busy(stats: TenantStats) -> dict[str, Any]:
    return {
        "tenant": stats.tenant,
        "waiting": stats.waiting,
        "delayed": stats.delayed,
        "in_flight": stats.in_flight,
        "oldest_age_s": _age(stats),
        "worker_time_s": round(stats.used.total_seconds(), 3),
    }


def _age(stats: TenantStats) -> float | None:
    if stats.oldest is None:
        return None
    return round(max((datetime.now(UTC) - stats.oldest).total_seconds(), 0.0), 1)


def _business(stats: TenantStats) -> tuple[int, int, float]:
    return stats.waiting + stats.set_aside + stats.in_flight, stats.delayed, stats.used.total_seconds()


def broker(url: str, **options: Any) -> Any:
    """Return what reads the broker at *url*: ours for our schemes."""
    ours = url.partition("://")[0] in ALIASES
    return Lanes(url, **options) if ours else flowers_own(url, **options)


def install() -> None:
    """Call this in ``flowerconfig.py``."""
    flower.views.Broker = broker
