"""The only doors to the database. Every one binds its tenant within the transaction's first round trip."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import LoaderCriteriaOption, ORMExecuteState, Session, with_loader_criteria

from config.settings import Settings, get_settings
from models.acting import acting
from models.array import SPELLINGS, spell_array
from models.base import Base, SoftDeleteMixin
from models.connection import BINDING, build_engine
from models.registry import load_tables
from models.seal import Sealer

RELAY_ROLE = "genius_relay"
SEAL_LIFETIME = timedelta(minutes=5)
"""A transaction must begin within this time of its seal; it covers the clocks' difference, not the work."""

Row = dict[str, Any]

DATABASE_ERRORS = (psycopg.Error, DBAPIError)
"""What a door raises when Postgres is away or refuses: `call` the driver's errors, sessions SQLAlchemy's."""


@dataclass(frozen=True, slots=True)
class Database:
    """The database as the application sees it: nothing, until a tenant is bound."""

    engine: Engine
    sealer: Sealer

    def seal(self, organization_id: UUID) -> str:
        """Mint a seal for the transaction about to begin."""
        return self.sealer.mint(organization_id, SEAL_LIFETIME)


@dataclass(frozen=True, slots=True)
class RelayDatabase:
    """The database as the relay sees it: ids, states and due times of every tenant, no payload."""

    engine: Engine


@dataclass(frozen=True, slots=True)
class TenantBinding:
    """Hands each transaction of a session a fresh seal of the same tenant."""

    database: Database
    organization_id: UUID
    actor: str
    request_id: str = ""

    def seal(self) -> str:
        return self.database.seal(self.organization_id)


class RelayNotConfiguredError(Exception):
    """There is no URL by which to become the relay."""

    def __init__(self) -> None:
        super().__init__("set GENIUS_RELAY_DATABASE_URL (or GENIUS_OWNER_DATABASE_URL)")


def open_database(settings: Settings, *, pool_size: int | None = None) -> Database:
    """Open a pool as the application role; connections are made on first use."""
    load_tables()  # a foreign key resolves only when both tables are declared, whoever imported which
    engine = build_engine(
        settings.database_url,
        role=None,
        pool_size=pool_size or settings.database_pool_size,
        statement_timeout=settings.statement_timeout,
        pooled=settings.database_pooled,
    )
    return Database(engine, Sealer(settings.seal_secret.get_secret_value().encode()))


@cache
def get_database() -> Database:
    """Return this process's database; a forked child gets its own connections."""
    return open_database(get_settings())


class TenantSession(Session):
    """A session of one tenant, for ever: used for two, it would hand one's objects to the other."""

    def __init__(self, binding: TenantBinding, *, connection: Connection | None = None) -> None:
        """Work in its own transactions, or in the one that *connection* has begun, which it cannot commit."""
        super().__init__(
            connection or binding.database.engine,
            join_transaction_mode="rollback_only",
            execution_options={BINDING: binding},
            expire_on_commit=False,
            close_resets_only=False,
            info={"narrowing": _narrowing(binding.organization_id)},
        )


@contextmanager
def tenant_session(
    database: Database, organization_id: UUID, *, actor: str | None = None
) -> Iterator[TenantSession]:
    """Open one transaction that sees only the rows of *organization_id*.

    Commits when the block ends, rolls back when it raises. The audit log names *actor* as who changed things;
    without, whoever `acting` says.
    """
    with TenantSession(bind_to(database, organization_id, actor)) as session, session.begin():
        yield session


def bind_to(database: Database, organization_id: UUID, actor: str | None = None) -> TenantBinding:
    """Return the binding of transactions that the current task makes."""
    now = acting()
    return TenantBinding(database, organization_id, actor or now.actor, now.request_id)


def _narrowing(organization_id: UUID) -> LoaderCriteriaOption:
    return with_loader_criteria(
        Base,
        lambda table: table.organization_id == organization_id,
        include_aliases=True,
    )


_LIVE = with_loader_criteria(SoftDeleteMixin, lambda table: table.deleted_at.is_(None), include_aliases=True)


@event.listens_for(TenantSession, "do_orm_execute")
def _narrow(state: ORMExecuteState) -> None:
    """Name the tenant in every ORM statement: a second line behind the policies, which are the wall.

    Rows that are soft-deleted are left out too, unless the statement has the execution option
    ``include_deleted``.
    """
    if state.is_column_load or state.is_relationship_load:
        return  # these carry the options of the statement that loaded their parent
    state.statement = state.statement.options(state.session.info["narrowing"])
    if not state.execution_options.get("include_deleted", False):
        state.statement = state.statement.options(_LIVE)


def call(database: Database, organization_id: UUID, function: str, /, **arguments: Any) -> list[Row]:
    """Run the SQL function ``app.<function>`` bound to *organization_id*, in one round trip and transaction.

    The function's first parameter is ``seal`` and its first act is to bind it. A list becomes an array; a
    mapping, or a list of mappings, one JSON document.
    """
    statement = _compose(function, ("seal", *arguments))
    values = {name: _adapt(value) for name, value in arguments.items()}
    return _run(database.engine, statement, {"seal": database.seal(organization_id)} | values)


def call_for_each(
    database: Database, organization_ids: Sequence[UUID], function: str, /, **arguments: Any
) -> list[Row]:
    """Run ``app.<function>`` once for elements of several organizations, in one round trip and transaction.

    The function's first parameter is ``seals``, one an element, parallel to its arrays; it does the work of
    each organization under that one's binding.
    """
    minted = {organization_id: database.seal(organization_id) for organization_id in set(organization_ids)}
    values = {name: _adapt(value) for name, value in arguments.items()}
    seals = [minted[organization_id] for organization_id in organization_ids]
    return _run(database.engine, _compose(function, ("seals", *arguments)), {"seals": seals} | values)


def open_relay_database(settings: Settings, *, pool_size: int = 2) -> RelayDatabase:
    """Open a pool as the relay's role, by its own URL or by the owner's."""
    load_tables()
    url = settings.relay_database_url or settings.owner_database_url
    if url is None:
        raise RelayNotConfiguredError
    engine = build_engine(
        url,
        role=RELAY_ROLE,
        pool_size=pool_size,
        statement_timeout=settings.statement_timeout,
        pooled=settings.database_pooled,
    )
    return RelayDatabase(engine)


@contextmanager
def relay_session(database: RelayDatabase) -> Iterator[Session]:
    """Open one transaction across tenants that sees only what the relay may."""
    with (
        Session(database.engine, expire_on_commit=False, close_resets_only=False) as session,
        session.begin(),
    ):
        yield session


def call_relay(database: RelayDatabase, function: str, /, **arguments: Any) -> list[Row]:
    """Run the SQL function ``app.<function>`` as the relay, in one round trip and transaction."""
    values = {name: _adapt(value) for name, value in arguments.items()}
    return _run(database.engine, _compose(function, tuple(arguments)), values)


@lru_cache(maxsize=256)
def _compose(function: str, names: tuple[str, ...]) -> sql.Composed:
    arguments = [sql.SQL("{} => {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in names]
    return sql.SQL("SELECT * FROM {}({})").format(
        sql.Identifier("app", function), sql.SQL(", ").join(arguments)
    )


def _run(engine: Engine, statement: sql.Composed, values: Mapping[str, Any]) -> list[Row]:
    pooled = engine.raw_connection()
    try:
        connection: psycopg.Connection[Any] | None = pooled.driver_connection
        assert connection is not None
        with connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement, values).fetchall()
    finally:
        pooled.close()


def _adapt(value: Any) -> Any:
    match value:
        case Enum():
            return value.value  # psycopg would send a member's name
        case Mapping():
            return Jsonb(value, dumps=orjson.dumps)
        case list() if SPELLINGS.keys() >= set(map(type, value)):
            return spell_array(value)
        case list() if any(isinstance(item, Mapping) for item in value):
            return Jsonb(value, dumps=orjson.dumps)
        case list() if any(isinstance(item, Enum) for item in value):
            return _adapt([_adapt(item) for item in value])
        case _:
            return value
