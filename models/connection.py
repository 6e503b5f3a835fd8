"""Connections to Postgres: what is refused, and what a pool may hand on.

Connections run in the driver's autocommit mode. A transaction begins with one round trip that says BEGIN and
binds the tenant; ``call`` needs no transaction of its own, since one statement is one.
"""

import logging
import os
import select
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol
from weakref import WeakSet

import orjson
import psycopg
from psycopg.pq import TransactionStatus
from pydantic import PostgresDsn
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError, OperationalError, ProgrammingError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

log = logging.getLogger(__name__)

CONNECT_TIMEOUT = timedelta(seconds=5)
IDLE_IN_TRANSACTION_TIMEOUT = timedelta(minutes=1)
"""A transaction that does nothing this long is ended: no transaction may stand across a network call."""
POOL_TIMEOUT = timedelta(seconds=10)
RECYCLE_AFTER = timedelta(minutes=30)

BEGIN = "BEGIN"
BIND = """
SELECT app.bind(%s),
    pg_catalog.set_config('app.actor', %s, true), pg_catalog.set_config('app.request_id', %s, true)
"""

IDENTITY = """
SELECT role.rolsuper OR role.rolbypassrls OR role.rolcreaterole OR role.rolreplication AS privileged,
       EXISTS (SELECT FROM pg_catalog.pg_class AS relation
               WHERE relation.relowner = role.oid
                 AND relation.relnamespace = 'public'::pg_catalog.regnamespace) AS owner,
       EXISTS (SELECT FROM pg_catalog.pg_auth_members AS membership
               WHERE membership.member = role.oid) AS member,
       coalesce(pg_catalog.current_setting('app.tenant_seal', true), '') <> ''
           OR pg_catalog.current_setting('backtrace_functions') <> '' AS bound,
       session_user <> current_user AS disguised,
       role.rolname AS name
FROM pg_catalog.pg_roles AS role
WHERE role.rolname = current_user
"""

CANARY = """
SELECT coalesce(pg_catalog.current_setting('app.tenant_seal', true), '') = ''
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_cursors)
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_listening_channels())
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_prepared_statements WHERE from_sql)
   AND current_user = %s;
SELECT pg_catalog.pg_advisory_unlock_all();
RESET ALL
"""

CANARY_IN_PIPELINE = """
SELECT coalesce(pg_catalog.current_setting('app.tenant_seal', true), '') = ''
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_cursors WHERE name <> '')
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_listening_channels())
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_prepared_statements WHERE from_sql)
   AND current_user = %s AS clean,
       pg_catalog.pg_advisory_unlock_all()
"""
"""The same as one statement, which is itself a cursor without a name; RESET ALL is another."""

LEAVE, LEFT = (
    "SELECT pg_catalog.set_config('app.left_behind', 'yes', false)",
    "SELECT pg_catalog.current_setting('app.left_behind', true) = 'yes'",
)
"""What one client leaves behind, and whether another finds it."""

RAN_FREE_SQL = "ran_free_sql"
"""What a connection's info says when it has to be looked at before the pool may hand it on."""

LEFT_DIRTY = "left_dirty"
"""What it says when that was done, and found something."""

UNSAFE = ("it bypasses policies", "it owns tables", "it is a member of another role", "it arrived bound")
"""What is wrong when a column of IDENTITY is true, in their order."""


BINDING = "tenant_binding"
"""Execution option that carries the Binding of a connection's transactions."""

BEGUN_BY_CALLER = "begun_by_caller"
"""Execution option of a connection whose transaction has begun, and is bound, before SQLAlchemy needs it."""


class Binding(Protocol):
    """To whom each transaction of a connection is bound."""

    @property
    def actor(self) -> str: ...

    @property
    def request_id(self) -> str: ...

    def seal(self) -> str: ...


class UnsafeConnectionError(Exception):
    """The database would let this connection pass the policies, so nothing may run on it."""

    def __init__(self, role: str, reasons: tuple[str, ...]) -> None:
        super().__init__(f"refusing to work as {role!r}: {', '.join(reasons)}")
        self.role = role
        self.reasons = reasons


class PooledRoleError(Exception):
    """Behind a pooler a role cannot be taken on: log in as it."""

    def __init__(self, role: str | None) -> None:
        super().__init__(f"behind a pooler, give a URL that logs in as {role}")
        self.role = role


def build_engine(
    url: PostgresDsn, *, role: str | None, pool_size: int, statement_timeout: timedelta, pooled: bool = False
) -> Engine:
    """Return an engine whose pool hands out clean, safe, live connections only.

    Args:
        url: Where to connect; its own options are kept.
        role: Role to take on after connecting; None is the one of the URL.
        pool_size: Connections at most. They are opened when they are needed and stay: one that opens for a
            burst and closes after it costs Postgres more than the burst.
        statement_timeout: Postgres cancels a statement that takes longer.
        pooled: *url* leads to a pooler in transaction mode, which hands each transaction another server
            connection: nothing is prepared on one, and the limits of the login role hold instead of ours.

    Raises:
        PooledRoleError: A pooler knows no role but the one that logs in.
    """
    if pooled and role not in {None, url.hosts()[0]["username"]}:
        raise PooledRoleError(role)
    engine = create_engine(
        _with_driver(url),
        connect_args={
            "autocommit": True,
            "connect_timeout": int(CONNECT_TIMEOUT.total_seconds()),
            "application_name": "genius",
            "keepalives_idle": 30,
            "tcp_user_timeout": 30_000,
            **(
                {"prepare_threshold": None}
                if pooled
                else {"options": _options(url, role=role, statement_timeout=statement_timeout)}
            ),
        },
        hide_parameters=True,  # a logged error must carry no payload
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT.total_seconds(),
        pool_recycle=int(RECYCLE_AFTER.total_seconds()),
        pool_use_lifo=True,
        use_native_hstore=False,
        json_serializer=orjson.dumps,
        json_deserializer=orjson.loads,
    )
    event.listen(engine, "connect", _RefuseUnsafe(takes_role=role is not None and not pooled))
    if pooled:
        event.listen(engine, "first_connect", _refuse_keepsakes)
    event.listen(engine, "checkout", _refuse_closed)
    event.listen(engine, "checkin", _discard_dirty)
    event.listen(engine, "begin", _begin)
    engine.dialect.do_commit = _commit  # type: ignore[method-assign,assignment] # there is no event in its place
    _engines.add(engine)
    return engine


def _with_driver(url: PostgresDsn) -> str:
    return "postgresql+psycopg://" + str(url).split("://", 1)[1]


def _options(url: PostgresDsn, *, role: str | None, statement_timeout: timedelta) -> str:
    settings = {
        "statement_timeout": _milliseconds(statement_timeout),
        "idle_in_transaction_session_timeout": _milliseconds(IDLE_IN_TRANSACTION_TIMEOUT),
    }
    if role is not None:
        settings["role"] = role
    given = [value for key, value in url.query_params() if key == "options"]
    return " ".join([*given, *(f"-c {name}={value}" for name, value in settings.items())])


def _milliseconds(span: timedelta) -> str:
    return str(int(span.total_seconds() * 1000))


@dataclass(frozen=True)
class _RefuseUnsafe:
    """Looks at each new connection, before anything runs on it."""

    takes_role: bool

    def __call__(self, connection: psycopg.Connection[Any], record: ConnectionPoolEntry) -> None:
        row = connection.execute(IDENTITY).fetchone()
        assert row is not None
        *findings, disguised, role = row
        found = [reason for is_so, reason in zip(findings, UNSAFE, strict=True) if is_so]
        if disguised and not self.takes_role:
            found.append("it may become another role again")
        if found:
            connection.close()
            raise UnsafeConnectionError(role, tuple(found))
        record.info["role"] = role


def _refuse_keepsakes(connection: psycopg.Connection[Any], _record: ConnectionPoolEntry) -> None:
    """Refuse a pooler that hands one client what another left: a cursor, a setting, the name of a statement.

    It most often hands on the server connection that it got back last; in case it does not, we try again.
    """
    info = connection.info
    for _ in range(3):
        with psycopg.connect(
            info.dsn, password=info.password, autocommit=True, prepare_threshold=None
        ) as other:
            other.execute(LEAVE)
        row = connection.execute(LEFT).fetchone()
        if row is not None and row[0]:
            user = info.user
            connection.close()
            raise UnsafeConnectionError(
                user, ("its pooler keeps what sessions leave (server_reset_query_always)",)
            )


def _refuse_closed(connection: psycopg.Connection[Any], _record: object, _proxy: object) -> None:
    """Make the pool reconnect when the server has hung up.

    A live idle connection has nothing to read; after a restart there is the server's farewell. This costs no
    round trip, where a ping costs one per checkout.
    """
    if connection.closed or _readable(connection.fileno()):
        raise DisconnectionError


def _readable(descriptor: int) -> bool:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(0))


def _begin(connection: Connection) -> None:
    """Begin and bind in one round trip; without a binding the transaction sees and writes nothing."""
    options = connection.get_execution_options()
    if options.get(BEGUN_BY_CALLER):
        return
    binding: Binding | None = options.get(BINDING)
    raw = connection.connection.driver_connection
    assert raw is not None
    connection.info[RAN_FREE_SQL] = True
    try:
        if binding is None:
            raw.execute(BEGIN)
        else:
            _begin_bound(raw, binding)
    except psycopg.OperationalError as error:
        connection.invalidate(error)
        raise OperationalError(BEGIN, None, error, connection_invalidated=True) from error
    except psycopg.ProgrammingError as error:
        raise ProgrammingError(BEGIN, None, error) from error


def _begin_bound(raw: psycopg.Connection[Any], binding: Binding) -> None:
    """Send the seal as a parameter: the text of a statement is shown to other sessions of the same role."""
    with raw.pipeline():
        raw.execute(BEGIN)
        raw.execute(BIND, (binding.seal(), binding.actor, binding.request_id))


def _commit(pooled: PoolProxiedConnection) -> None:
    """Commit, and look in the same round trip at what the transaction leaves.

    Behind a pooler this sees the server connection that the transaction had, and nothing later does.
    """
    raw: psycopg.Connection[Any] | None = pooled.driver_connection
    assert raw is not None
    if raw.info.transaction_status != TransactionStatus.INTRANS:
        raw.commit()
        return
    looked = psycopg.ClientCursor(raw).execute(f"COMMIT; {CANARY}", (pooled.info["role"],))
    looked.nextset()
    pooled.info[RAN_FREE_SQL] = False
    pooled.info[LEFT_DIRTY] = looked.fetchone() != (True,)


def _discard_dirty(connection: psycopg.Connection[Any] | None, record: ConnectionPoolEntry) -> None:
    """Throw away a connection on which a session left something that would work on for the next one.

    That is its binding, a cursor, a channel, another role, or a statement prepared by SQL, which may go by
    the name of one of the driver's.
    """
    dirty, unseen = (record.info.pop(key, False) for key in (LEFT_DIRTY, RAN_FREE_SQL))
    if connection is None or not (dirty or unseen):
        return
    idle = connection.info.transaction_status == TransactionStatus.IDLE
    clean = idle and not dirty and _is_clean(connection, record)
    if not clean:
        log.error("discarding a connection that was returned dirty")
        record.invalidate()


def _is_clean(connection: psycopg.Connection[Any], record: ConnectionPoolEntry) -> bool:
    try:
        row = psycopg.ClientCursor(connection).execute(CANARY, (record.info["role"],)).fetchone()
    except psycopg.Error:
        return False
    return row is not None and bool(row[0])


_engines: WeakSet[Engine] = WeakSet()


def _forget_inherited_connections() -> None:
    """Leave the parent's connections to the parent: two processes on one socket garble each other."""
    for engine in _engines:
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_forget_inherited_connections)
