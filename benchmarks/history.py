"""Whether millions of finished jobs slow down the living: submit, claim, list and explain.

Fills two databases of one server by SQL, of ten organizations over twelve months, one with few
jobs and one with many; every call goes to both in turns. Run it as
``python benchmarks/history.py [--jobs 5000000] [--events 1] [--calls 400] [--json PATH]``.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psycopg
from rich.console import Console
from rich.table import Table
from uuid_utils.compat import uuid7

from config.settings import get_settings
from intake.views.explanation import explain_job
from intake.views.job import find_job, list_jobs
from migrations.bootstrap import create_database
from models.job import JobState
from models.organization import Organization, Tenant, load_tenant
from models.session import Database, call_for_each, open_database, tenant_session
from ops.schema import upgrade
from ops.stack import Stack, settings_from
from tasks.catalog import ROLLUP
from tasks.payloads import Rollup
from worker.publish import Publisher
from worker.submit import Submission, SubmittedJob, submit

ORGANIZATIONS = 10
MONTHS = 12
CHUNK = 250_000
SEED = 2_000
"""Finished jobs of an organization in the small history: pages are full in both."""
BATCH = 100
PAGE = 50
BOUND = 1.3

PARTITIONS = """
DO $$
DECLARE
    month timestamp;
    parent text;
    name text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['job_history', 'job_events'] LOOP
        FOR month IN
            SELECT generate_series(date_trunc('month', now()) - interval '12 months', now(), '1 month')
        LOOP
            name := parent || to_char(month, '_YYYY_MM');
            CONTINUE WHEN to_regclass('public.' || name) IS NOT NULL;
            EXECUTE format(
                'CREATE TABLE public.%I PARTITION OF public.%I FOR VALUES FROM (%L) TO (%L)', name, parent,
                app.first_id(month AT TIME ZONE 'UTC'),
                app.first_id((month + interval '1 month') AT TIME ZONE 'UTC'));
            EXECUTE format('ALTER TABLE public.%I OWNER TO genius_owner', name);
            PERFORM app.confine(('public.' || name)::regclass);
        END LOOP;
    END LOOP;
END $$
"""

FILL = """
WITH made AS MATERIALIZED (
    SELECT (%(organizations)s::uuid[])[1 + n %% cardinality(%(organizations)s::uuid[])] AS organization_id,
        at, n,
        (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || left(md5(n::text), 3)
            || '8' || right(md5(n::text), 15))::uuid AS id
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n,
        LATERAL (SELECT now() - %(span)s::interval * (1 - n::float8 / %(of)s) - interval '2 hours' AS at)
), told AS (
    INSERT INTO job_events (organization_id, job_id, id, at, attempt, state)
    SELECT made.organization_id, made.id, gen_random_uuid(), made.at, 1, 'succeeded'
    FROM made, generate_series(1, %(events)s)
)
INSERT INTO job_history (
    organization_id, id, kind, lane, state, payload, priority, attempt, max_attempts, attempts_per_life,
    created_at, started_at, finished_at, result)
SELECT organization_id, id, CASE WHEN n %% 3 = 0 THEN 'leads.score' ELSE 'analytics.rollup' END, 'analytics',
    CASE WHEN n %% 100 = 0 THEN 'cancelled' ELSE 'succeeded' END, '{"lookback_days": 3}', 0, 1, 5, 5,
    at, at, at, '{"buckets": 96}'
FROM made
"""


def fill(url: str, organizations: list[UUID], jobs: int, *, events: int) -> float:
    """Put *jobs* finished jobs into the history; return the seconds it took."""
    began = time.monotonic()

    def chunk(first: int) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SET synchronous_commit = off")
            connection.execute(
                FILL,
                {
                    "organizations": organizations,
                    "first": first,
                    "last": min(first + CHUNK, jobs) - 1,
                    "of": jobs,
                    "span": timedelta(days=30 * MONTHS),
                    "events": events,
                },
            )

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(chunk, range(0, jobs, CHUNK)))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE) job_history, job_events")
        connection.execute("CHECKPOINT")
    return time.monotonic() - began


@dataclass(frozen=True)
class Site:
    """One database with its history."""

    url: str
    """As superuser."""
    database: Database
    publisher: Publisher
    tenants: Sequence[Tenant]

    @property
    def tenant(self) -> Tenant:
        return self.tenants[0]

    def deeds(self, calls: int) -> dict[str, Callable[[], Any]]:
        """Return what is done with jobs, by name."""
        wanted = Submission(ROLLUP, Rollup())
        waiting = [job.id for job in self.submit([wanted] * calls)]
        known = list(waiting)
        return {
            "submit one": lambda: self.submit([wanted]),
            f"submit {BATCH}": lambda: self.submit([wanted] * BATCH),
            "claim": lambda: self.claim(waiting.pop()),
            "read one": lambda: self.read(find_job, known[0]),
            "explain": lambda: self.read(explain_job, known[1]),
            "list all": self.list,
            "list queued": lambda: self.list(state=JobState.QUEUED),
            "list succeeded": lambda: self.list(state=JobState.SUCCEEDED),
            "list one kind": lambda: self.list(kind=ROLLUP.name),
        }

    def submit(self, submissions: Sequence[Submission]) -> list[SubmittedJob]:
        return submit(self.database, self.tenant, submissions, publisher=self.publisher)

    def claim(self, job_id: UUID) -> None:
        claimed = call_for_each(
            self.database,
            [self.tenant.organization_id],
            "claim_jobs",
            jobs=[job_id],
            attempts_made=[0],
            worker="bench",
            lease=timedelta(minutes=5),
        )
        assert claimed

    def read(self, act: Callable[..., Any], job_id: UUID) -> None:
        with tenant_session(self.database, self.tenant.organization_id) as session:
            assert act(session, job_id)

    def list(self, *, state: JobState | None = None, kind: str | None = None) -> None:
        with tenant_session(self.database, self.tenant.organization_id) as session:
            assert len(list_jobs(session, state=state, kind=kind, before=None, limit=PAGE)) == PAGE


def measure(few: Site, many: Site, calls: int) -> dict[str, list[float]]:
    """Return the median milliseconds of each deed at both sites, done in turns: noise meets both alike."""
    deeds = [site.deeds(calls) for site in (few, many)]
    medians = {}
    for name in deeds[0]:
        spans: list[list[float]] = [[], []]
        for _ in range(max(calls // 8, 20) if str(BATCH) in name else calls):
            for place in (0, 1):
                began = time.perf_counter()
                deeds[place][name]()
                spans[place].append((time.perf_counter() - began) * 1e3)
        medians[name] = [statistics.median(one[len(one) // 10 :]) for one in spans]
    return medians


def wait_for_vacuum(url: str) -> None:
    """Wait until Postgres has tidied up after the filling."""
    busy = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'"
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(busy).fetchone() != (0,):
            time.sleep(1)


def compare(jobs: int, *, events: int, calls: int) -> dict[str, Any]:
    """Fill the histories of two databases of one server, one with few jobs, one with many; measure."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GENIUS_")}
        with Stack(Path(directory) / "stack", environ=environment) as stack:
            few, many = (_site(stack, name) for name in ("few", "many"))
            _fill(few, SEED * ORGANIZATIONS, events=events)
            seconds = _fill(many, jobs, events=events)
            wait_for_vacuum(many.url)
            medians = measure(few, many, calls)
            size = _size(many.url)
            for site in (few, many):
                site.database.engine.dispose()
    return {
        "jobs": jobs,
        "fill_seconds": seconds,
        "gigabytes": size,
        "median_ms": medians,
        "ratios": {name: many / few for name, (few, many) in medians.items()},
    }


def _fill(site: Site, jobs: int, *, events: int) -> float:
    organizations = [tenant.organization_id for tenant in site.tenants]
    return fill(site.url, organizations, jobs, events=events)


def _site(stack: Stack, name: str) -> Site:
    superuser = stack.postgres.superuser_url
    assert superuser is not None
    create_database(superuser, name)
    environment = {"GENIUS_LOG_LEVEL": "WARNING"} | {
        variable: urlunsplit(urlsplit(value)._replace(path=f"/{name}"))
        if "DATABASE_URL" in variable
        else value
        for variable, value in stack.environment().items()
    }
    os.environ.update(environment)
    get_settings.cache_clear()
    settings = settings_from(environment)
    upgrade(settings)
    url = urlunsplit(urlsplit(superuser)._replace(path=f"/{name}"))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(PARTITIONS)
    database = open_database(settings)
    tenants = [_organization(database) for _ in range(ORGANIZATIONS)]
    return Site(url, database, Publisher(settings), tenants)


def _organization(database: Database) -> Tenant:
    organization_id = uuid7()
    with tenant_session(database, organization_id) as session:
        session.add(Organization(organization_id=organization_id, name="bench", plan="enterprise"))
    tenant = load_tenant(database, organization_id)
    assert tenant is not None
    return tenant


def _size(url: str) -> float:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row is not None
    return int(row[0]) / 1e9


def show(found: dict[str, Any]) -> Table:
    """Return the table of what was measured."""
    made = f"{found['gigabytes']:.1f} GB, made in {found['fill_seconds']:.0f} s"
    table = Table(title=f"{found['jobs']:,} finished jobs ({made})")
    for heading in ("median, ms", "few", "many", f"ratio (at most {BOUND})"):
        table.add_column(heading, justify="left" if heading.startswith("median") else "right")
    for name, (few, many) in found["median_ms"].items():
        table.add_row(name, f"{few:.3f}", f"{many:.3f}", f"{found['ratios'][name]:.2f}")
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=5_000_000)
    parser.add_argument("--events", type=int, default=1, help="events of each job")
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = compare(options.jobs, events=options.events, calls=options.calls)
    Console().print(show(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
