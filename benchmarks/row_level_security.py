"""What row-level security costs: hot queries under policies against the same with explicit filters only.

    python benchmarks/row_level_security.py [rows]

Both run as the application does (one pipeline of begin, bind, query, commit; jobs are claimed by one call),
on two copies of one database, in turn: each figure is the median of the ratios of neighbours.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from uuid_utils.compat import uuid7

sys.path.insert(0, str(Path(__file__).parents[1]))

from models.seal import Sealer
from ops.schema import upgrade
from ops.stack import PostgresUrls, Stack
from tests.support.clone import clone

ROWS = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
TENANTS = 200
ROUNDS = 400
CORES = os.sched_getaffinity(0)
FILL = Path(__file__).parents[1] / "tests" / "integration" / "many_rows.sql"

WITHOUT_POLICIES = """
DO $$ DECLARE target regclass; BEGIN
    FOR target IN
        SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
    LOOP
        EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', target);
    END LOOP;
END $$;
CREATE OR REPLACE FUNCTION app.bind(seal text) RETURNS uuid LANGUAGE sql
    RETURN split_part(seal, '.', 1)::uuid;
"""

QUERIES = {
    "campaign by id": "SELECT * FROM campaigns WHERE id = %(id)s AND organization_id = %(mine)s",
    "job list, 50": (
        "SELECT id, kind, state, created_at FROM jobs WHERE organization_id = %(mine)s"
        " ORDER BY id DESC LIMIT 50"
    ),
    "lead list, 50": (
        "SELECT id, email, score, created_at FROM leads WHERE organization_id = %(mine)s"
        " ORDER BY score DESC, created_at DESC LIMIT 50"
    ),
    "analytics, 24 buckets": (
        "SELECT name, sum(events) FROM analytics_buckets WHERE organization_id = %(mine)s"
        " AND starts_at >= '2026-01-02' AND starts_at < '2026-01-02 06:00' GROUP BY name"
    ),
}
CLAIM = "SELECT * FROM app.claim_jobs(%(seals)s, %(jobs)s, %(made)s, 'bench', '1 minute')"

Run = Callable[[], None]


class Side:
    """One of the two copies, through one connection of the application's role."""

    def __init__(self, urls: PostgresUrls, mine: UUID, sealer: Sealer, *, bound: bool) -> None:
        assert urls.superuser_url is not None
        self._mine, self._sealer, self._bound = mine, sealer, bound
        self._connection = psycopg.connect(urls.app_url, autocommit=True)
        # Waking another core takes as long as a statement: both servers run on one, we on the other.
        os.sched_setaffinity(self._connection.info.backend_pid, {max(CORES)})
        with psycopg.connect(urls.superuser_url) as connection:
            self._ids = {
                table: [row[0] for row in connection.execute(self._some(table), [mine])]
                for table in ("campaigns", "leads", "jobs")
            }

    @staticmethod
    def _some(table: str) -> sql.Composed:
        return sql.SQL("SELECT id FROM {} WHERE organization_id = %s LIMIT 20000").format(
            sql.Identifier(table)
        )

    def query(self, statement: str) -> Run:
        """Return what runs a statement in a transaction of its own."""
        ids, turn = self._ids["leads" if "leads" in statement else "campaigns"], count()

        def run() -> None:
            parameters = {"mine": self._mine, "id": ids[next(turn) % len(ids)]}
            with self._connection.pipeline():
                self._connection.execute("BEGIN")
                if self._bound:
                    self._connection.execute("SELECT app.bind(%s)", [self._seal()])
                cursor = self._connection.execute(statement.encode(), parameters)
                self._connection.execute("COMMIT")
                if cursor.description:
                    cursor.fetchall()

        return run

    def within(self, statement: str) -> Run:
        """Return what runs a statement in a transaction that goes on, and is bound already."""
        ids, turn = self._ids["leads" if "leads" in statement else "campaigns"], count()

        def run() -> None:
            if self._connection.info.transaction_status is TransactionStatus.IDLE:
                self._connection.execute("BEGIN")
                self._connection.execute("SELECT app.bind(%s)", [self._seal()])
            parameters = {"mine": self._mine, "id": ids[next(turn) % len(ids)]}
            self._connection.execute(statement.encode(), parameters).fetchall()

        return run

    def claims(self) -> Run:
        """Return what claims one job."""
        jobs = iter(self._ids["jobs"])

        def run() -> None:
            self._connection.execute(
                CLAIM, {"seals": [self._seal()], "jobs": [next(jobs)], "made": [0]}
            ).fetchall()

        return run

    def _seal(self) -> str:
        return self._sealer.mint(self._mine, timedelta(minutes=5))


def measure(ours: Run, bare: Run) -> tuple[float, float, float]:
    """Return the medians of both in microseconds, and that of the ratios of neighbours."""
    for _ in range(20):
        ours(), bare()
    pairs = [
        (_timed(ours), _timed(bare)) if turn % 2 else (_timed(bare), _timed(ours))[::-1]
        for turn in range(ROUNDS)
    ]
    return (
        statistics.median(ours for ours, _ in pairs),
        statistics.median(bare for _, bare in pairs),
        statistics.median(ours / bare for ours, bare in pairs),
    )


def _timed(run: Run) -> float:
    began = time.perf_counter()
    run()
    return (time.perf_counter() - began) * 1e6


def main() -> None:
    """Fill one database, copy it, and compare."""
    os.sched_setaffinity(0, {min(CORES)})
    with (
        tempfile.TemporaryDirectory() as directory,
        Stack(Path(directory), environ={"GENIUS_ENVIRONMENT": "test"}) as stack,
    ):
        upgrade(stack.settings())
        sealer, mine = Sealer(stack.secrets.seal_secret.encode()), uuid7()
        with clone(stack, "genius") as urls:
            _fill(urls, mine, sealer)
            with clone(stack, urls.app_url.rsplit("/", 1)[1]) as copy:
                _compare(urls, copy, mine, sealer)


def _fill(urls: PostgresUrls, mine: UUID, sealer: Sealer) -> None:
    assert urls.superuser_url is not None
    values: dict[str, Any] = {"mine": mine, "tenants": TENANTS, "rows": ROWS}
    literals = {name: sql.Literal(value) for name, value in values.items()}
    with psycopg.connect(urls.superuser_url) as connection:
        connection.execute(sql.SQL(FILL.read_text()).format(**literals))  # type: ignore[arg-type]
        connection.execute("SELECT app.bind(%s)", [sealer.mint(mine, timedelta(minutes=1))])
        connection.execute("INSERT INTO organizations (organization_id, name) VALUES (%s, 'mine')", [mine])


def _compare(urls: PostgresUrls, copy: PostgresUrls, mine: UUID, sealer: Sealer) -> None:
    assert copy.superuser_url is not None
    with psycopg.connect(copy.superuser_url, autocommit=True) as connection:
        connection.execute(WITHOUT_POLICIES)
    ours, bare = Side(urls, mine, sealer, bound=True), Side(copy, mine, sealer, bound=False)
    print(f"{ROWS:,} rows a table, {TENANTS} tenants; medians of {ROUNDS} pairs, microseconds")
    print(f"{'':32}{'policies':>10}{'filters':>10}{'ratio':>8}")
    runs = {name: (ours.query(query), bare.query(query)) for name, query in QUERIES.items()}
    within = {f"{name}, bound": (ours.within(query), bare.within(query)) for name, query in QUERIES.items()}
    for name, pair in {"claim of one job": (ours.claims(), bare.claims()), **runs, **within}.items():
        with_policies, without, ratio = measure(*pair)
        print(f"{name:32}{with_policies:10.0f}{without:10.0f}{ratio:8.3f}")


if __name__ == "__main__":
    main()
