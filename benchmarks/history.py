"""Whether millions of finished jobs slow down the living: submit, claim, list and explain, before and after.

Fills the history by SQL, of ten organizations over twelve months, on a stack of its own. Run it as
``python benchmarks/history.py [--jobs 5000000] [--events 1] [--calls 400] [--json PATH]``.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psycopg
from rich.console import Console
from rich.table import Table
from uuid_utils.compat import uuid7

from config.settings import get_settings
from intake.views.explanation import explain_job
from intake.views.job import find_job, list_jobs
from models.job import JobState
from models.organization import Organization, Tenant, load_tenant
from models.session import Database, call_for_each, open_database, tenant_session
from ops.schema import upgrade
from ops.stack import Stack, settings_from
from tasks.catalog import ROLLUP
from tasks.payloads import Rollup
from worker.publish import Publisher
from worker.submit import Submission, submit

ORGANIZATIONS = 10
MONTHS = 12
CHUNK = 250_000
SEED = 2_000
"""Finished jobs that are there before: pages are full in both measurements."""
BATCH = 100
BATCH_NAME = f"submit {BATCH}"
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


def timed(act: Callable[[], Any], calls: int) -> float:
    """Return the median milliseconds of a call, the first tenth left out as warm-up."""
    spans = []
    for _ in range(calls):
        began = time.perf_counter()
        act()
        spans.append((time.perf_counter() - began) * 1e3)
    return statistics.median(spans[calls // 10 :])


def measure(database: Database, tenant: Tenant, publisher: Publisher, calls: int) -> dict[str, float]:
    """Return the median milliseconds of each thing that is done with jobs."""
    wanted = Submission(ROLLUP, Rollup())
    waiting = [job.id for job in submit(database, tenant, [wanted] * calls, publisher=publisher)]
    known = list(waiting)

    def in_session(act: Callable[[Any], Any]) -> Callable[[], Any]:
        def run() -> None:
            with tenant_session(database, tenant.organization_id) as session:
                act(session)

        return run

    def listing(**filters: Any) -> Callable[[], Any]:
        given = {"state": None, "kind": None, "before": None, "limit": 50} | filters
        return in_session(lambda session: list_jobs(session, **given))

    def claim() -> None:
        claimed = call_for_each(
            database,
            [tenant.organization_id],
            "claim_jobs",
            jobs=[waiting.pop()],
            attempts_made=[0],
            worker="bench",
            lease=timedelta(minutes=5),
        )
        assert claimed

    acts = {
        "submit one": lambda: submit(database, tenant, [wanted], publisher=publisher),
        BATCH_NAME: lambda: submit(database, tenant, [wanted] * BATCH, publisher=publisher),
        "claim": claim,
        "read one": in_session(lambda session: find_job(session, known[0])),
        "explain": in_session(lambda session: explain_job(session, known[1])),
        "list all": listing(),
        "list queued": listing(state=JobState.QUEUED),
        "list succeeded": listing(state=JobState.SUCCEEDED),
        "list one kind": listing(kind=ROLLUP.name),
    }
    return {
        name: timed(act, max(calls // 8, 20) if name == BATCH_NAME else calls) for name, act in acts.items()
    }


def compare(jobs: int, *, events: int, calls: int) -> dict[str, Any]:
    """Measure with a small history, fill it, and measure again."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GENIUS_")}
        with Stack(Path(directory) / "stack", environ=environment) as stack:
            os.environ.update(stack.environment())
            get_settings.cache_clear()
            settings = settings_from(stack.environment())
            upgrade(settings)
            database, publisher = open_database(settings), Publisher(settings)
            tenants = [_organization(database) for _ in range(ORGANIZATIONS)]
            url = stack.postgres.superuser_url
            assert url is not None
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(PARTITIONS)
            organizations = [tenant.organization_id for tenant in tenants]
            fill(url, organizations, SEED * ORGANIZATIONS, events=events)
            before = measure(database, tenants[0], publisher, calls)
            seconds = fill(url, organizations, jobs, events=events)
            after = measure(database, tenants[0], publisher, calls)
            size = _size(url)
            database.engine.dispose()
    ratios = {name: after[name] / before[name] for name in before}
    return {
        "jobs": jobs,
        "fill_seconds": seconds,
        "gigabytes": size,
        "before_ms": before,
        "after_ms": after,
        "ratios": ratios,
    }


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
    for name, before in found["before_ms"].items():
        table.add_row(name, f"{before:.3f}", f"{found['after_ms'][name]:.3f}", f"{found['ratios'][name]:.2f}")
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
