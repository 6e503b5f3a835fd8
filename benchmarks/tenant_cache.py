"""What the tenant's cache saves: answers made from Postgres beside the same ones read from Redis.

Run it as ``python benchmarks/tenant_cache.py [--events 300000]``. It starts servers of its own, fills 90 days
of one organization's events, rolls them up and asks, turn by turn, in one thread and without HTTP.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psycopg
import redis
from rich.console import Console
from rich.table import Table
from uuid_utils.compat import uuid7

from benchmarks.rollup import FILL
from intake.views.analytics import AnswerView
from intake.views.usage import read_usage
from models.organization import Organization, Tenant, load_tenant
from models.session import Database, open_database, tenant_session
from models.tenant_cache import Namespace, TenantCache
from ops.stack import Stack, settings_from
from tasks.analytics_query import answer
from tasks.analytics_rollups.rollup import run_pass
from tasks.payloads import AnalyticsQuery

DAYS = 90
CALLS = 200
LASTS = timedelta(minutes=5)


@dataclass(frozen=True)
class Desk:
    """One organization and what it asks."""

    database: Database
    tenant: Tenant
    cache: TenantCache

    def query(self, **asked: Any) -> bytes:
        """Answer a query of the last 90 days as the API does."""
        last = datetime.now(UTC).date()
        query = AnalyticsQuery(first=last - timedelta(days=DAYS - 1), last=last, **asked)
        with tenant_session(self.database, self.tenant.organization_id) as session:
            return AnswerView.model_validate(answer(session, query, "UTC")).model_dump_json().encode()

    def usage(self) -> bytes:
        """Answer what is used of the plan."""
        with tenant_session(self.database, self.tenant.organization_id) as session:
            return read_usage(session, self.tenant, []).model_dump_json().encode()

    def remembered(self, name: str, make: Callable[[], bytes]) -> bytes:
        """Answer the same through the cache."""
        namespace = Namespace(self.tenant.organization_id, "benchmark")
        return self.cache.get_or_make(namespace, name, make, lasts=LASTS)


def fill(stack: Stack, database: Database, events: int) -> Tenant:
    """Make an organization with events of 90 days, counted."""
    organization_id = uuid7()
    with tenant_session(database, organization_id) as session:
        session.add(Organization(organization_id=organization_id, name="Acme", plan="enterprise"))
    begins = datetime.now(UTC) - timedelta(days=DAYS - 1)
    values = {"organization": organization_id, "count": events, "begins": begins, "visitors": events // 20}
    assert stack.postgres.superuser_url is not None
    with psycopg.connect(stack.postgres.superuser_url, autocommit=True) as connection:
        connection.execute(FILL, values | {"salt": 1, "span": timedelta(days=DAYS - 1)})
        connection.execute("ANALYZE analytics_events")
        with tenant_session(database, organization_id) as session:
            run_pass(session, organization_id)
        connection.execute("VACUUM (ANALYZE) analytics_events, analytics_days, analytics_visitors")
    tenant = load_tenant(database, organization_id)
    assert tenant is not None
    return tenant


def milliseconds(acts: dict[str, Callable[[], bytes]]) -> dict[str, list[float]]:
    """Time each act so many times, in turns."""
    taken: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(CALLS):
        for name, act in acts.items():
            began = time.perf_counter()
            act()
            taken[name].append((time.perf_counter() - began) * 1000)
    return taken


def report(desk: Desk) -> Table:
    """Measure every question both ways."""
    asked: dict[str, Callable[[], bytes]] = {
        "events by day": partial(desk.query, metric="events"),
        "events by day and campaign, compared": partial(
            desk.query, metric="events", breakdown="campaign", compare=True
        ),
        "visitors by week": partial(desk.query, metric="visitors", grain="week"),
        "visitors by day and campaign": partial(desk.query, metric="visitors", breakdown="campaign"),
        "usage of the plan": desk.usage,
    }
    table = Table("answer", "bytes", "made p50", "made p95", "remembered p50", "remembered p95", "ratio")
    for name, make in asked.items():
        taken = milliseconds({"made": make, "remembered": partial(desk.remembered, name, make)})
        middle = {way: statistics.median(spans) for way, spans in taken.items()}
        high = {way: statistics.quantiles(spans, n=20)[18] for way, spans in taken.items()}
        table.add_row(
            name,
            str(len(make())),
            *(f"{part[way]:.2f} ms" for way in taken for part in (middle, high)),
            f"{middle['made'] / middle['remembered']:.1f}",
        )
    return table


def main() -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, Stack(Path(directory), environ={}) as stack:
        stack.migrate()
        settings = settings_from(stack.environment())
        database = open_database(settings, pool_size=2)
        client = redis.Redis.from_url(stack.redis_url)
        tenant = fill(stack, database, arguments.events)
        Console().print(report(Desk(database, tenant, TenantCache(client))))
        client.close()
        database.engine.dispose()


if __name__ == "__main__":
    main()
