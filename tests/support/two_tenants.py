"""One intake and two tenants, each with all a tenant can have; every text of one carries its marker."""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, LiteralString
from uuid import UUID

import httpx
import psycopg
from fastapi import FastAPI
from psycopg import sql
from psycopg.rows import dict_row
from uuid_utils.compat import uuid7

from config.settings import Settings
from intake.app import create_app
from models.organization import Tenant, load_tenant
from models.session import Database, tenant_session
from models.user import Role
from ops.stack import PostgresUrls
from ops.token import mint_token
from tests.support.furnish import furnish
from tests.support.leak import Watch
from tests.support.rows import fill
from tests.support.serving import serve

UNLIMITED = '{"limits": {"api_calls_hour": {"amount": 100000000}}}'

MEANINGFUL = frozenset(
    {
        *("kind", "lane", "meter", "plan", "region", "time_zone", "cron", "locale"),
        *("storage_key", "media_type", "redirect_url", "server_url"),
        *("dimension", "quarters", "lineage", "document"),
        *("settings.key", "job_events.state"),
    }
)
"""Texts that a program reads, by column or by table and column: with a marker in them nothing would work."""

COLUMNS = """
SELECT c.relname AS table, a.attname AS column, format_type(a.atttypid, a.atttypmod) AS type
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND EXISTS (SELECT FROM pg_attribute AS o WHERE o.attrelid = c.oid AND o.attname = 'organization_id')
ORDER BY 1, 2
"""

Raw = psycopg.Connection[dict[str, Any]]


@dataclass(frozen=True)
class Side:
    """One of the two tenants."""

    tenant: Tenant
    marker: str
    settings: Settings = field(repr=False)
    made: dict[str, list[str]] = field(default_factory=dict, repr=False)
    """Ids by the name of the path parameter that they fit."""

    @property
    def organization_id(self) -> UUID:
        return self.tenant.organization_id

    def headers(self, role: Role = Role.OWNER, permissions: Sequence[str] | None = None) -> dict[str, str]:
        token = mint_token(self.settings, self.tenant, role=role, permissions=permissions)
        return {"Authorization": f"Bearer {token}"}


@dataclass(frozen=True)
class World:
    """The intake, its two tenants, and a view of what is really in the database."""

    app: FastAPI
    client: httpx.Client
    settings: Settings
    urls: PostgresUrls
    mine: Side
    theirs: Side

    @contextmanager
    def superuser(self) -> Iterator[Raw]:
        assert self.urls.superuser_url is not None
        with psycopg.connect(self.urls.superuser_url, row_factory=dict_row) as connection:
            yield connection

    def watch(self, side: Side) -> Watch:
        """Return who sees what is *side*'s."""
        with self.superuser() as connection:
            return Watch(side.marker, frozenset(_ids(connection, side.organization_id)))

    def digest(self, side: Side) -> dict[str, str]:
        """Return a digest of every table's rows of *side*."""
        with self.superuser() as connection:
            return {table: _digest(connection, table, side) for table in _tables(connection)}


@contextmanager
def two_tenants(settings: Settings, database: Database, urls: PostgresUrls) -> Iterator[World]:
    """Serve an intake whose two tenants have a row in every table, and more through the front door."""
    app = create_app(settings)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    mine, theirs = (_side(database, settings, f"zq{name}qz") for name in ("mine", "theirs"))
    with serve(app) as url, httpx.Client(base_url=url, timeout=30) as client:
        world = World(app, client, settings, urls, mine, theirs)
        for side in (mine, theirs):
            _mark(world, side)
            furnish(client, side)
            side.made.update(_made(world, side))
        yield world


def _side(database: Database, settings: Settings, marker: str) -> Side:
    organization_id = uuid7()
    with tenant_session(database, organization_id) as session:
        fill(session, organization_id, plan="enterprise")
    tenant = load_tenant(database, organization_id)
    assert tenant is not None
    return Side(tenant, marker, settings)


KEYS = {
    "job_id": "jobs",
    "campaign_id": "campaigns",
    "lead_id": "leads",
    "account_id": "social_accounts",
    "post_id": "social_posts",
    "schedules": "schedules",
    "alert_id": "alerts",
    "user_id": "users",
    "report_id": "reports",
    "asset_id": "content_assets",
    "campaigns": "campaigns",
    "users": "users",
    "accounts": "social_accounts",
    "posts": "social_posts",
    "alerts": "alerts",
    "deliveries": "alert_deliveries",
    "webhooks": "webhook_endpoints",
    "alert-recipients": "email_recipients",
    "media": "content_assets",
    "texts": "content_assets",
    "domains": "custom_domains",
}
"""Path parameters, and collections of items, and the tables whose ids they take."""


def _mark(world: World, side: Side) -> None:
    """Write the marker into every text of *side*'s rows that means nothing to a program."""
    with world.superuser() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "UPDATE organizations SET plan_overrides = %s::jsonb WHERE organization_id = %s",
            [UNLIMITED, side.organization_id],
        )
        _repair(connection, side)
        for row in connection.execute(COLUMNS).fetchall():
            table, column = row["table"], row["column"]
            if row["type"] == "text" and not MEANINGFUL & {column, f"{table}.{column}"}:
                _write(connection, side, table, column)


def _repair(connection: Raw, side: Side) -> None:
    """Make whole what is only a stand-in in a filled row and would be refused when read."""
    model, report = {"card": {"note": f"{side.marker}.card"}}, {"title": f"{side.marker}.report"}
    statements = {
        "UPDATE lead_models SET model = %s::jsonb WHERE organization_id = %s": model,
        "UPDATE reports SET document = %s WHERE organization_id = %s": report,
    }
    for statement, value in statements.items():
        connection.execute(statement, [json.dumps(value), side.organization_id])


def _write(connection: Raw, side: Side, table: str, column: str) -> None:
    """A text that only some values may be stays as it is: a check refuses the marker."""
    statement = sql.SQL("UPDATE {} SET {} = %s || substr(md5(ctid::text), 1, 4) WHERE organization_id = %s")
    values = [f"{side.marker}.{table}.{column}.", side.organization_id]
    try:
        with connection.transaction():
            connection.execute(statement.format(sql.Identifier(table), sql.Identifier(column)), values)
    except (psycopg.errors.CheckViolation, psycopg.errors.GeneratedAlways):
        return


def _tables(connection: Raw) -> list[str]:
    return sorted({row["table"] for row in connection.execute(COLUMNS)})


def _ids(connection: Raw, organization_id: UUID) -> Iterator[UUID]:
    for row in connection.execute(COLUMNS).fetchall():
        if row["type"] != "uuid":
            continue
        names = [sql.Identifier(row[name]) for name in ("column", "table")]
        query = sql.SQL("SELECT DISTINCT {} AS id FROM {} WHERE organization_id = %s").format(*names)
        found = connection.execute(query, [organization_id]).fetchall()
        yield from (each["id"] for each in found if each["id"] is not None)


def _made(world: World, side: Side) -> dict[str, list[str]]:
    """Return ids, the newest first, by the path parameter that takes them."""
    query = "SELECT id FROM {} WHERE organization_id = %s ORDER BY id DESC"
    with world.superuser() as connection:
        return {
            parameter: [
                str(row["id"])
                for row in connection.execute(
                    sql.SQL(query).format(sql.Identifier(table)), [side.organization_id]
                )
            ]
            for parameter, table in KEYS.items()
        }


def _digest(connection: Raw, table: LiteralString, side: Side) -> str:
    query = sql.SQL("SELECT t::text AS row FROM {} AS t WHERE organization_id = %s ORDER BY 1")
    rows = connection.execute(query.format(sql.Identifier(table)), [side.organization_id]).fetchall()
    return hashlib.sha256("\n".join(row["row"] for row in rows).encode()).hexdigest()
