"""Every query that the application makes often goes through an index that begins with its tenant.

With 40,000 rows a table; GENIUS_PLAN_ROWS=2000000 asks with two million, which takes some minutes.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from ops.stack import Stack
from tests.support.attack import Site, bind, two_tenants

ROWS = int(os.environ.get("GENIUS_PLAN_ROWS", "40000"))
TENANTS = 200

FILL = Path(__file__).with_name("many_rows.sql").read_text()

QUERIES = {
    "a job to claim": "SELECT id FROM jobs WHERE id = {job} AND attempt = 0 FOR NO KEY UPDATE SKIP LOCKED",
    "a job by its id": "SELECT * FROM jobs WHERE id = {job}",
    "the newest jobs": "SELECT * FROM jobs ORDER BY id DESC LIMIT 50",
    "a job to complete": "UPDATE jobs SET state = 'succeeded' WHERE id = {job} AND attempt = 0",
    "the best leads": "SELECT * FROM leads ORDER BY score DESC, created_at DESC LIMIT 50",
    "the newest leads": "SELECT * FROM leads ORDER BY created_at DESC, id DESC LIMIT 50",
    "a lead by its id": "SELECT * FROM leads WHERE id = {job}",
    "a campaign by its id": "SELECT * FROM campaigns WHERE id = {job}",
    "the newest campaigns": "SELECT * FROM campaigns ORDER BY created_at DESC, id DESC LIMIT 50",
    "a day of analytics": (
        "SELECT sum(events) FROM analytics_buckets"
        " WHERE starts_at >= '2026-01-01 06:00' AND starts_at < '2026-01-01 12:00'"
    ),
}


@pytest.fixture(scope="module")
def site(stack: Stack, template: str) -> Iterator[Site]:
    with two_tenants(stack, template) as site:
        values = {"mine": sql.Literal(site.mine), "tenants": sql.Literal(TENANTS), "rows": sql.Literal(ROWS)}
        with site.superuser() as connection:
            connection.execute(sql.SQL(FILL).format(**values))  # type: ignore[arg-type]
        yield site


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_goes_through_an_index_of_its_tenant(site: Site, name: str) -> None:
    nodes = plan(site, QUERIES[name])

    indexed = [node for node in nodes if "Index Name" in node]
    assert indexed, nodes
    assert not [node for node in nodes if node["Node Type"] == "Seq Scan"], nodes
    for node in indexed:
        assert "organization_id = " in node.get("Index Cond", ""), (node["Node Type"], node["Index Name"])


def test_a_plan_around_the_index_is_noticed(site: Site) -> None:
    nodes = plan(
        site,
        "SELECT * FROM leads WHERE email = 'y'",
        "SET LOCAL enable_indexscan = off",
        "SET LOCAL enable_bitmapscan = off",
    )

    assert any(node["Node Type"] == "Seq Scan" for node in nodes)


def plan(site: Site, query: str, *before: str) -> list[dict[str, Any]]:
    """Return the nodes of the plan that the application's role gets."""
    with site.raw() as connection:
        bind(connection, site.database.seal(site.mine))
        for statement in before:
            connection.execute(statement.encode())
        job = sql.Literal("0193b1a0-0000-7000-8000-000000000001")
        explain = sql.SQL("EXPLAIN (FORMAT JSON) " + query).format(job=job)  # type: ignore[arg-type]
        row = connection.execute(explain).fetchone()
        assert row is not None
        return list(_nodes(row["QUERY PLAN"][0]["Plan"]))


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)
