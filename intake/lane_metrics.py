"""What the lanes have and whom they serve, for Prometheus: as a beat saw it last."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import redis
import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.metrics.lanes import last_look

log = structlog.get_logger("intake.health")

OF_LANE = {
    "delayed": ("genius_lane_delayed", "Jobs of the lane that are due later."),
    "set_aside": ("genius_lane_set_aside", "Jobs of the lane whose kind or organization is paused."),
    "oldest_s": ("genius_lane_oldest_seconds", "How long the longest-waiting job of the lane has waited."),
    "tenants": ("genius_lane_tenants", "Organizations with a job that waits in the lane."),
}
OF_PLAN = {
    "waiting": ("genius_lane_waiting", "Jobs of a plan's organizations that wait for their turn."),
    "in_flight": ("genius_lane_in_flight", "Jobs of a plan's organizations that workers hold."),
    "entitled": (
        "genius_share_entitled",
        "Share of worker time that a plan's backlogged organizations should get.",
    ),
    "received": ("genius_share_received", "Share of worker time that they got in the last minute."),
}
OF_TENANT = {
    "waiting": ("genius_tenant_waiting", "Jobs of an organization that wait, of the few that are named."),
    "in_flight": ("genius_tenant_in_flight", "Its jobs that workers hold."),
    "oldest_s": ("genius_tenant_oldest_seconds", "How long its longest-waiting job has waited."),
    "used_s": ("genius_tenant_worker_seconds", "Worker time it got in the last minute."),
    "entitled": ("genius_tenant_share_entitled", "Share of worker time that it should have got."),
    "received": ("genius_tenant_share_received", "Share of worker time that it got."),
}


class LaneCollector(Collector):
    """Reads a beat's picture with each scrape; every intake tells the same.

    Args:
        client: The Redis of the lanes.
        names: Whether tenants may be named: who they are is for operators only.
    """

    def __init__(self, client: redis.Redis, *, names: bool) -> None:
        self._client = client
        self._names = names

    def collect(self) -> Iterator[Metric]:
        """Yield the picture; without Redis, only that it is away."""
        seen, up = None, 1
        try:
            seen = last_look(self._client)
        except redis.RedisError as error:
            up = 0
            log.warning("no picture of the lanes", error=type(error).__name__)
        yield GaugeMetricFamily("genius_redis_up", "1 while this intake reaches the Redis of the queues.", up)
        if seen is not None:
            yield from self._told(seen)

    def _told(self, seen: Mapping[str, Any]) -> Iterator[Metric]:
        told = "Seconds since a beat looked at the lanes."
        yield GaugeMetricFamily("genius_lanes_age_seconds", told, max(time.time() - seen["at"], 0.0))
        lanes: Mapping[str, Any] = seen["lanes"]
        shortfall = GaugeMetricFamily(
            "genius_lane_shortfall",
            "Which part of its share the worst-served organization missed.",
            labels=["lane"],
        )
        for lane, view in lanes.items():
            shortfall.add_metric([lane], view["shortfall"])
        yield shortfall
        yield from families(OF_LANE, ["lane"], [([lane], view["total"]) for lane, view in lanes.items()])
        plans = [
            ([lane, plan], group) for lane, view in lanes.items() for plan, group in view["plans"].items()
        ]
        yield from families(OF_PLAN, ["lane", "plan"], plans)
        if self._names:
            named = [
                ([lane, tenant["tenant"]], tenant)
                for lane, view in lanes.items()
                for tenant in view["busiest"]
            ]
            yield from families(OF_TENANT, ["lane", "tenant"], named)


def families(
    wanted: Mapping[str, tuple[str, str]],
    labels: list[str],
    rows: list[tuple[list[str], Mapping[str, Any]]],
) -> Iterator[Metric]:
    """Make one metric of each field that is *wanted* of *rows*."""
    for field, (name, told) in wanted.items():
        family = GaugeMetricFamily(name, told, labels=labels)
        for values, row in rows:
            family.add_metric(values, row[field])
        yield family
