"""No tenant reaches another, and nobody reaches anything without a tenant: by raw SQL, table by table."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb
from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import JSONB
from uuid_utils.compat import uuid7

from ops.stack import Stack
from tests.support.attack import Raw, Site, bind, refused, two_tenants
from tests.support.rows import attackable_tables

TABLES = attackable_tables()
FORGED = "0193b1a0-0000-7000-8000-000000000001.9999999999." + "0" * 64


@pytest.fixture(scope="module")
def site(stack: Stack, template: str) -> Iterator[Site]:
    """One database for all these attacks: none of them commits anything."""
    with two_tenants(stack, template) as site:
        yield site


def named(template: str, table: Table | str, **parts: sql.Composable) -> sql.Composed:
    name = table if isinstance(table, str) else table.name
    return sql.SQL(template).format(table=sql.Identifier(name), **parts)


def test_there_is_a_row_of_both_tenants_in_every_table(site: Site) -> None:
    empty = [
        table.name
        for table in TABLES
        if not site.rows(table.name, site.mine) or not site.rows(table.name, site.theirs)
    ]

    assert empty == [], "give these a row in tests/support/rows.py"


def test_with_no_tenant_bound_no_row_can_be_read(site: Site) -> None:
    with site.raw() as connection:
        readable = [t.name for t in TABLES if not refused(connection, named("SELECT FROM {table}", t))]

    assert readable == []


@pytest.mark.parametrize("seal", ["", "nonsense", FORGED], ids=["empty", "nonsense", "forged"])
def test_a_worthless_binding_reads_no_row(site: Site, seal: str) -> None:
    with site.raw() as connection:
        bind(connection, seal)
        readable = [t.name for t in TABLES if not refused(connection, named("SELECT FROM {table}", t))]

    assert readable == []


def test_with_no_tenant_bound_no_row_can_be_written(site: Site) -> None:
    with site.raw() as connection:
        written = [
            (table.name, verb)
            for table in TABLES
            for verb, statement in _writes(site, table)
            if not refused(connection, statement)
        ]

    assert written == []


def _writes(site: Site, table: Table) -> Iterator[tuple[str, sql.Composed]]:
    yield "insert", _insert(table, site.rows(table.name, site.theirs)[0])
    yield "update", _touch(table)
    yield "delete", named("DELETE FROM {table}", table)


def _insert(table: Table, row: dict[str, Any]) -> sql.Composed:
    documents = {column.name for column in table.columns if isinstance(column.type, JSONB)}
    fresh = {
        name: Jsonb(value) if name in documents and value is not None else _fresh(name, value)
        for name, value in row.items()
    }
    return named(
        "INSERT INTO {table} ({columns}) VALUES ({values})",
        table,
        columns=sql.SQL(", ").join(map(sql.Identifier, fresh)),
        values=sql.SQL(", ").join(map(sql.Literal, fresh.values())),
    )


def _fresh(name: str, value: Any) -> Any:
    """Keep the row from clashing with itself, so that only the policy can refuse it."""
    if name in ("id", "job_id"):
        return uuid7()
    return uuid7().hex if name in ("key", "external_id", "email_norm", "handle", "rollup") else value


def _touch(table: Table) -> sql.Composed:
    column = next(c.name for c in table.columns if c.name not in ("organization_id", "id", "created_at"))
    return named("UPDATE {table} SET {column} = {column}", table, column=sql.Identifier(column))


def test_bound_to_one_tenant_another_tenants_rows_cannot_be_read(site: Site) -> None:
    with site.raw(bound_to=site.mine) as connection:
        for table in TABLES:
            seen = connection.execute(named("SELECT organization_id FROM {table}", table)).fetchall()
            assert {row["organization_id"] for row in seen} == {site.mine}, table.name


def test_live_views_show_the_bound_tenant_only(site: Site) -> None:
    with site.superuser() as connection:
        views = connection.execute("SELECT viewname FROM pg_views WHERE schemaname = 'public'").fetchall()
    assert len(views) == 6
    with site.raw(bound_to=site.mine) as connection:
        for view in views:
            seen = connection.execute(
                named("SELECT organization_id FROM {table}", view["viewname"])
            ).fetchall()
            assert [row["organization_id"] for row in seen] == [site.mine], view["viewname"]
    with site.raw() as connection:
        assert all(refused(connection, named("SELECT FROM {table}", view["viewname"])) for view in views)


def test_bound_to_one_tenant_another_tenants_rows_cannot_be_inserted(site: Site) -> None:
    with site.raw(bound_to=site.mine) as connection:
        inserted = [
            table.name
            for table in TABLES
            if not refused(connection, _insert(table, site.rows(table.name, site.theirs)[0]))
        ]

    assert inserted == []


def test_bound_to_one_tenant_another_tenants_rows_cannot_be_changed(site: Site) -> None:
    with site.raw(bound_to=site.mine) as connection:
        for table in TABLES:
            for statement in (_touch(table), named("DELETE FROM {table}", table)):
                _attempt(connection, statement)
        assert connection.execute("SELECT FROM outbox").fetchall() == [], (
            "it reached my own row: no empty attack"
        )
        bind(connection, site.database.seal(site.theirs))
        for table in TABLES:
            left = connection.execute(named("SELECT * FROM {table} ORDER BY 2", table)).fetchall()
            assert left == site.rows(table.name, site.theirs), table.name


def _attempt(connection: Raw, statement: sql.Composed) -> None:
    refusals = (psycopg.errors.InsufficientPrivilege, psycopg.errors.ForeignKeyViolation)
    with suppress(*refusals), connection.transaction():
        connection.execute(statement)


def test_a_row_cannot_be_moved_to_another_tenant(site: Site) -> None:
    move = "UPDATE {table} SET organization_id = {theirs}"
    with site.raw(bound_to=site.mine) as connection:
        moved = [
            table.name
            for table in TABLES
            if not refused(connection, named(move, table, theirs=sql.Literal(site.theirs)))
        ]

    assert moved == []


def _references() -> list[tuple[Table, str, str]]:
    return [
        (table, constraint.column_keys[1], constraint.referred_table.name)
        for table in TABLES
        for constraint in sorted(table.foreign_key_constraints, key=lambda constraint: constraint.column_keys)
        if len(constraint.column_keys) > 1
    ]


@pytest.mark.parametrize(
    ("table", "column", "target"), _references(), ids=lambda part: getattr(part, "name", part)
)
def test_a_row_cannot_reference_another_tenants(site: Site, table: Table, column: str, target: str) -> None:
    mine = site.rows(table.name, site.mine)[0]
    theirs = site.rows(target, site.theirs)[0]["id"]
    statement = _insert(table, mine | {column: theirs})

    with site.raw(bound_to=site.mine) as connection, pytest.raises(psycopg.errors.ForeignKeyViolation):
        connection.execute(statement)


def test_the_same_unique_values_are_free_for_every_tenant(site: Site) -> None:
    external_ids = {site.rows("leads", tenant)[0]["external_id"] for tenant in (site.mine, site.theirs)}

    assert external_ids == {"1"}, "a key that spans tenants would tell what another one has"


def test_partitions_cannot_be_reached_around_their_table(site: Site) -> None:
    with site.superuser() as connection:
        partitions = connection.execute(
            "SELECT relid::regclass::text AS name FROM pg_partition_tree('analytics_events') WHERE isleaf"
        ).fetchall()
    assert len(partitions) == 4
    with site.raw(bound_to=site.mine) as connection:
        assert all(refused(connection, named("SELECT FROM {table}", row["name"])) for row in partitions)


INJECTIONS = [
    "SELECT organization_id FROM leads WHERE set_config('app.tenant_seal', '{forged}', true) <> ''",
    (
        "SELECT organization_id FROM leads"
        " UNION ALL SELECT NULL WHERE set_config('app.tenant_seal', '{forged}', true) = ''"
        " UNION ALL SELECT organization_id FROM leads"
    ),
    "SELECT set_config('app.tenant_seal', '{forged}', true); SELECT organization_id FROM leads",
    "SET LOCAL app.tenant_seal = '{forged}'; SELECT organization_id FROM leads",
    (
        "DO $$ BEGIN PERFORM set_config('app.tenant_seal', '{forged}', true); END $$;"
        " SELECT organization_id FROM leads"
    ),
    (
        "SET LOCAL app.current_tenant_id = '{theirs}'; SET LOCAL app.organization_id = '{theirs}';"
        " SELECT organization_id FROM leads"
    ),
    "SELECT organization_id FROM leads WHERE id::text = '' OR 1 = 1",
    "COMMIT; SELECT organization_id FROM leads",
    "RESET app.tenant_seal; SELECT organization_id FROM leads",
    "COPY leads (organization_id) TO STDOUT",
    "SELECT organization_id FROM leads FOR UPDATE",
    (
        "WITH x AS MATERIALIZED (SELECT set_config('app.tenant_seal', '{forged}', true))"
        " SELECT organization_id FROM x, leads"
    ),
]


@pytest.mark.parametrize("injection", INJECTIONS)
def test_injected_sql_never_returns_another_tenants_rows(site: Site, injection: str) -> None:
    mine = site.database.seal(site.mine)
    swapped = mine.replace(str(site.mine), str(site.theirs))
    with site.raw(bound_to=site.mine) as connection:
        said = _everything_said(connection, injection.format(forged=swapped, theirs=site.theirs))

    assert str(site.theirs) not in said


def _everything_said(connection: Raw, statement: str) -> str:
    cursor = connection.cursor()
    try:
        if statement.startswith("COPY"):
            with cursor.copy(statement.encode()) as copy:
                return "".join(bytes(block).decode() for block in copy)
        cursor.execute(statement.encode())
        said = [str(cursor.fetchall()) if cursor.description else ""]
        while cursor.nextset():
            said.append(str(cursor.fetchall()) if cursor.description else "")
    except psycopg.errors.InsufficientPrivilege:
        return ""  # refused outright: the policy raised
    return "".join(said)


FORBIDDEN = [
    "TRUNCATE leads",
    "ALTER TABLE leads DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE leads NO FORCE ROW LEVEL SECURITY",
    "CREATE POLICY mine ON leads USING (true)",
    "DROP POLICY tenant ON leads",
    "CREATE TABLE public.stolen (x int)",
    "CREATE TEMP TABLE stolen (x int)",
    "CREATE FUNCTION app.stolen() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE FUNCTION public.stolen() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE SCHEMA stolen",
    "CREATE TRIGGER t AFTER INSERT ON leads EXECUTE FUNCTION app.audit_change()",
    "CREATE VIEW public.stolen AS SELECT * FROM leads",
    "SET ROLE genius_owner",
    "SET ROLE genius_relay",
    "SET SESSION AUTHORIZATION genius_owner",
    "SELECT * FROM app.seal_keys",
    "INSERT INTO app.seal_keys VALUES ('', '')",
    "SELECT app.install_seal_key('', '')",
    "SELECT app.protect('leads')",
    "SELECT app.append_audit('database', 'a', 'b', '{}')",
    "SELECT app.ensure_event_partitions(1)",
    "SELECT pg_read_file('/etc/passwd')",
    "COPY leads TO PROGRAM 'cat'",
    "SET session_replication_role = 'replica'",
    "DELETE FROM alembic_version",
    "SET LOCAL row_security = off; SELECT FROM leads",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_application_may_not(site: Site, statement: str) -> None:
    with site.raw(bound_to=site.mine) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.encode())


def test_bulk_loading_around_the_policies_is_refused(site: Site) -> None:
    with site.raw(bound_to=site.mine) as connection, pytest.raises(psycopg.errors.FeatureNotSupported):
        connection.execute("COPY leads (organization_id) FROM STDIN")


def test_statistics_of_the_tables_are_hidden(site: Site) -> None:
    with site.superuser() as connection:
        connection.execute("ANALYZE leads")
    with site.raw(bound_to=site.mine) as connection:
        assert connection.execute("SELECT FROM pg_stats WHERE schemaname = 'public'").fetchall() == []


def test_the_policy_is_evaluated_once_a_query_and_the_index_used(site: Site) -> None:
    with site.superuser() as connection:
        many = "INSERT INTO leads (organization_id, email) SELECT %s, 'x' FROM generate_series(1, 5000)"
        connection.execute(many, [site.theirs])
        connection.execute("ANALYZE leads")
        connection.execute("SET LOCAL ROLE genius_app")
        bind(connection, site.database.seal(site.mine))
        top = "EXPLAIN (COSTS OFF) SELECT id FROM leads ORDER BY score DESC, created_at DESC LIMIT 10"
        plan = [row["QUERY PLAN"].strip() for row in connection.execute(top)]
        connection.rollback()

    assert any("ix_leads_score" in line for line in plan)
    assert len([line for line in plan if line.startswith("InitPlan")]) == 1
    assert not any("SubPlan" in line for line in plan)
