"""What this process of the intake tells Prometheus of itself, besides its requests."""

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import QueuePool

from intake.lane_metrics import LaneCollector
from intake.relay_metrics import RelayCollector


class PoolCollector(Collector):
    """Tells how many connections to Postgres this process uses."""

    def __init__(self, pool: QueuePool, limit: int) -> None:
        self._pool = pool
        self._limit = limit

    def collect(self) -> Iterator[Metric]:
        """Yield the pool's numbers; nothing is asked of Postgres."""
        told = "Connections to Postgres of the process that answers."
        family = GaugeMetricFamily("genius_database_connections", told, labels=["state"])
        family.add_metric(["in_use"], self._pool.checkedout())
        family.add_metric(["idle"], self._pool.checkedin())
        yield family
        told = "Most connections to Postgres that a process may open."
        yield GaugeMetricFamily("genius_database_connections_limit", told, self._limit)


def state_registry(state: Any) -> CollectorRegistry:
    """Return a registry of what is looked up with each scrape: counters of processes may be read from files.

    *state* is the application's.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(LaneCollector(state.redis, names=state.settings.metrics_token is not None))
    pool: QueuePool = state.database.engine.pool
    limit = state.settings.database_pool_size
    registry.register(PoolCollector(pool, limit))
    if pool.checkedout() < limit:  # nobody scrapes for as long as one waits for a connection
        registry.register(RelayCollector(state.database.engine))
    return registry
