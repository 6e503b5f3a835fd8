"""What rolling up costs and saves: a day of ten million raw events of one organization, beside a small one.

Run it as ``python benchmarks/rollup.py load --directory DIR [--events 10000000]`` and then
``python benchmarks/rollup.py measure --directory DIR``. Loading takes a few minutes;
measuring works as the application role. DIR keeps the database in between, and may be deleted afterwards.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from pathlib import Path
from typing import Any
from uuid import UUID

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psycopg
from rich.console import Console
from rich.table import Table
from sqlalchemy import text
from uuid_utils.compat import uuid7

from models.organization import Organization
from models.session import Database, open_database, tenant_session
from ops.schema import upgrade
from ops.stack import Stack, settings_from
from tasks.analytics_calendar import Span
from tasks.analytics_query import answer
from tasks.analytics_reading import unique_visitors
from tasks.analytics_rollups.rollup import run_pass
from tasks.payloads import AnalyticsQuery

EVENTS = 10_000_000
HOURS = 24
VISITORS = 200_000
SMALL = 100
"""The small organization has one event where the large one has so many."""
SIZES = (1_000, 10_000, 100_000)
ROUNDS = 2
CALLS = 100
LIMIT_MS = 20

FILL = """
INSERT INTO analytics_events (
    organization_id, id, occurred_at, name, visitor, value, campaign_id, channel)
SELECT %(organization)s, lpad(to_hex(%(salt)s * 1000000000::bigint + n), 32, '0')::uuid,
    %(begins)s + %(span)s * (n::float8 / %(count)s),
    CASE n %% 10 WHEN 0 THEN 'signed_up' WHEN 1 THEN 'clicked' WHEN 2 THEN 'clicked' ELSE 'viewed' END,
    'visitor-' || v, n %% 7, lpad(to_hex(1 + v %% 20), 32, '0')::uuid,
    (ARRAY['bluesky', 'mastodon', 'mail'])[1 + v %% 3]
FROM generate_series(0, %(count)s - 1) AS n,
    LATERAL (SELECT (hashint8extended(n, %(salt)s) & 9007199254740991) %% %(visitors)s AS v) AS who
"""
RAW = text("""
    SELECT date_bin('15 minutes', occurred_at, 'epoch'), name, campaign_id, channel, post_id,
           count(*), sum(value), count(DISTINCT visitor)
    FROM analytics_events
    WHERE organization_id = :organization AND occurred_at >= :begins AND occurred_at < :ends
    GROUP BY 1, 2, 3, 4, 5
""")
RAW_DAY = text("""
    SELECT count(*), sum(value), count(DISTINCT visitor) FROM analytics_events
    WHERE organization_id = :organization AND occurred_at >= :begins AND occurred_at < :ends
""")
RAW_CAMPAIGNS = text("""
    SELECT campaign_id::text, count(DISTINCT visitor) FROM analytics_events
    WHERE organization_id = :organization AND occurred_at >= :begins AND occurred_at < :ends GROUP BY 1
""")


@dataclass
class Site:
    """A database with two organizations, of many events and of few."""

    superuser_url: str
    database: Database
    large: UUID
    small: UUID
    day: date
    salt: int = 0

    @property
    def midnight(self) -> datetime:
        return datetime.combine(self.day, clock.min, UTC)

    def insert(self, organization_id: UUID, count: int, begins: datetime, span: timedelta) -> None:
        """Write events as one transaction; nobody counts them yet."""
        self.salt += 1
        with psycopg.connect(self.superuser_url) as connection:
            values = {"organization": organization_id, "count": count, "begins": begins, "span": span}
            connection.execute(FILL, values | {"salt": self.salt, "visitors": VISITORS})

    def roll_up(self, organization_id: UUID) -> float:
        """Run a pass; return its seconds."""
        began = time.perf_counter()
        with tenant_session(self.database, organization_id) as session:
            session.execute(text("SET LOCAL statement_timeout = 0"))
            run_pass(session, organization_id)
        return time.perf_counter() - began

    def raw(self, statement: Any, begins: datetime, ends: datetime) -> tuple[float, list[Any]]:
        """Ask the raw events; return the seconds and the rows."""
        began = time.perf_counter()
        with tenant_session(self.database, self.large) as session:
            session.execute(text("SET LOCAL statement_timeout = 0"))
            values = {"organization": self.large, "begins": begins, "ends": ends}
            rows = list(session.execute(statement, values))
        return time.perf_counter() - began, rows

    def ask(self, **asked: Any) -> Any:
        """Answer a query of the day as the API does."""
        query = AnalyticsQuery(first=self.day, last=self.day, **asked)
        with tenant_session(self.database, self.large) as session:
            return answer(session, query, "UTC")


INDEXES = {"ix_analytics_events_xid": "xid", "ix_analytics_events_occurred_at": "occurred_at"}


def load(site: Site, events: int) -> None:
    """Write the day and roll it up, but for its last hour: that waits. Go on where it was left."""
    began = time.perf_counter()
    with psycopg.connect(site.superuser_url, autocommit=True) as connection:
        for name in INDEXES:
            connection.execute(f"DROP INDEX IF EXISTS {name}")  # made again at once, which is faster
        for hour in range(_next_hour(site), HOURS - 1):
            _write_hour(site, hour, events)
        print(f"written in {time.perf_counter() - began:.0f} s", flush=True)
        for name, column in INDEXES.items():
            connection.execute(f"CREATE INDEX {name} ON analytics_events (organization_id, {column})")
        connection.execute("VACUUM (ANALYZE) analytics_events")
        for organization_id in (site.small, site.large):
            seconds = site.roll_up(organization_id)
            print(f"pass over all but the last hour: {seconds:.1f} s", flush=True)
        _write_hour(site, HOURS - 1, events)
        connection.execute(
            "VACUUM (ANALYZE) analytics_events, analytics_visitors, analytics_buckets, analytics_days"
        )
        connection.execute("CHECKPOINT")


def _write_hour(site: Site, hour: int, events: int) -> None:
    begins = site.midnight + timedelta(hours=hour)
    for organization_id, share in ((site.large, 1), (site.small, SMALL)):
        site.insert(organization_id, events // HOURS // share, begins, timedelta(hours=1))


def _next_hour(site: Site) -> int:
    """Return the first hour of which nothing is written."""
    with psycopg.connect(site.superuser_url) as connection:
        row = connection.execute(
            "SELECT max(occurred_at) FROM analytics_events WHERE organization_id = %s", (site.small,)
        ).fetchone()
    return 0 if row is None or row[0] is None else (row[0] - site.midnight) // timedelta(hours=1) + 1


def measure(site: Site) -> dict[str, Any]:
    """Measure passes and answers; raw events are asked in the same run."""
    with psycopg.connect(site.superuser_url) as connection:
        row = connection.execute(
            "SELECT count(*), pg_database_size(current_database()) FROM analytics_events"
            " WHERE organization_id = %s",
            (site.large,),
        ).fetchone()
    assert row is not None
    found: dict[str, Any] = {"events": row[0], "gigabytes": row[1] / 1e9}
    for part in (answers, throughput, passes):
        found[part.__name__] = part(site)
        print(found[part.__name__], flush=True)
    return found


def throughput(site: Site) -> dict[str, float]:
    """Roll up what waits and an hour's events of another day, and aggregate these raw."""
    site.roll_up(site.large)
    count, begins = EVENTS // HOURS, site.midnight - timedelta(days=1)
    site.insert(site.large, count, begins, timedelta(hours=1))
    raw_s, _ = site.raw(RAW, begins, begins + timedelta(hours=1))
    return {"events": count, "pass_s": site.roll_up(site.large), "raw_s": raw_s}


def answers(site: Site) -> dict[str, Any]:
    """Time queries of the whole day, rolled up and raw, and compare what they say."""
    ends = site.midnight + timedelta(days=1)
    raw_s, [(events, value, visitors)] = site.raw(RAW_DAY, site.midnight, ends)
    campaigns_s, campaigns = site.raw(RAW_CAMPAIGNS, site.midnight, ends)
    by_campaign = {
        item.member: item.value for item in site.ask(metric="visitors", breakdown="campaign").items
    }
    found = (
        site.ask().total.value,
        site.ask(metric="value").total.value,
        site.ask(metric="visitors").total.value,
    )
    with tenant_session(site.database, site.large) as session:
        unique = unique_visitors(session, site.large, Span(site.day, site.day, "UTC"))
    return {
        "equal": found == (events, value, visitors) and unique == visitors and by_campaign == dict(campaigns),
        "visitors": visitors,
        "raw_ms": raw_s * 1e3,
        "raw_campaigns_ms": campaigns_s * 1e3,
        "events": spans(site.ask),
        "visitors by day": spans(lambda: site.ask(metric="visitors")),
        "visitors by campaign": spans(lambda: site.ask(metric="visitors", breakdown="campaign")),
        "events by quarter": spans(lambda: site.ask(grain="15m")),
    }


def spans(act: Callable[[], Any]) -> tuple[float, float]:
    """Return the median and the 99th percentile of many calls, ms."""
    taken = []
    for _ in range(CALLS):
        began = time.perf_counter()
        act()
        taken.append((time.perf_counter() - began) * 1e3)
    return statistics.median(taken), statistics.quantiles(taken, n=100)[98]


def passes(site: Site) -> dict[str, list[float]]:
    """Time passes over new events, in turns at both organizations; then late ones, all over the day."""
    found: dict[str, list[float]] = {}
    begins = site.midnight + timedelta(days=1)
    for _ in range(ROUNDS):
        for size in SIZES:
            begins += timedelta(hours=1)
            for name, organization_id in (("large", site.large), ("small", site.small)):
                site.insert(organization_id, size, begins, timedelta(minutes=15))
                found.setdefault(f"{name} {size}", []).append(site.roll_up(organization_id))
    site.insert(site.large, 96, site.midnight, timedelta(days=1))
    found["late"] = [site.roll_up(site.large)]
    return found


def show(found: dict[str, Any]) -> list[Table]:
    """Return what was measured as tables."""
    speed = found["throughput"]
    title = f"{found['events']:,} raw events of one organization on one day, {found['gigabytes']:.1f} GB"
    rolled = Table("", "seconds", "events/s", title=title)
    for name in ("pass", "raw"):
        seconds = speed[f"{name}_s"]
        rolled.add_row(
            f"{name}, {speed['events']:,} events", f"{seconds:.2f}", f"{speed['events'] / seconds:,.0f}"
        )
    said = found["answers"]
    asked = Table("answer", "p50, ms", "p99, ms", "raw, ms", title=f"equal to raw: {said['equal']}")
    for name in ("events", "visitors by day", "visitors by campaign", "events by quarter"):
        raw = said["raw_campaigns_ms" if "campaign" in name else "raw_ms"]
        asked.add_row(name, f"{said[name][0]:.1f}", f"{said[name][1]:.1f}", f"{raw:,.0f}")
    cost = Table("new events", "large, ms", "small, ms", "ratio", title="a pass, median")
    for size in SIZES:
        large, small = (
            statistics.median(found["passes"][f"{name} {size}"]) * 1e3 for name in ("large", "small")
        )
        cost.add_row(f"{size:,}", f"{large:.0f}", f"{small:.0f}", f"{large / small:.2f}")
    cost.add_row("96 late ones, one a quarter", f"{found['passes']['late'][0] * 1e3:.0f}", "", "")
    return [rolled, asked, cost]


def open_site(stack: Stack, directory: Path) -> Site:
    """Open the database in *directory*; the first time, make it."""
    settings, kept = settings_from(stack.environment()), directory / "site.json"
    os.environ.update(stack.environment())
    database = open_database(settings)
    superuser = stack.postgres.superuser_url
    assert superuser is not None
    if kept.exists():
        known = json.loads(kept.read_text())
        large, small = UUID(known["large"]), UUID(known["small"])
        return Site(
            superuser,
            database,
            large,
            small,
            date.fromisoformat(known["day"]),
            time.time_ns() // 10**9 % 10**8,
        )
    upgrade(settings)
    large, small = uuid7(), uuid7()
    for organization_id in (large, small):
        with tenant_session(database, organization_id) as session:
            session.add(Organization(organization_id=organization_id, name="bench", plan="enterprise"))
    site = Site(superuser, database, large, small, datetime.now(UTC).date() - timedelta(days=2))
    kept.write_text(json.dumps({"large": str(large), "small": str(small), "day": site.day.isoformat()}))
    return site


def main() -> None:
    """Load or measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("phase", choices=["load", "measure"])
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GENIUS_")}
    with Stack(options.directory / "stack", environ=environment) as stack:
        site = open_site(stack, options.directory)
        try:
            if options.phase == "load":
                load(site, options.events)
                return
            found = measure(site)
        finally:
            site.database.engine.dispose()
    for table in show(found):
        Console().print(table)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
