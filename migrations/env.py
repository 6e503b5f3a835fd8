"""Runs migrations as the owner, then makes the seal key of the settings the one in force."""

from typing import Any

import psycopg
from alembic import context
from sqlalchemy import Connection, create_engine, pool
from sqlalchemy.schema import SchemaItem

from config.settings import Settings, get_settings
from migrations.bootstrap import OWNER
from migrations.server import OfflineMigrationError, OwnerUrlMissingError, refuse_unsafe
from models.registry import load_tables
from models.seal import verification_key

PARTITIONED = ("analytics_events_", "job_events_", "job_history_")


def migrate() -> None:
    """Migrate, and install the seal key in the same transaction."""
    if context.is_offline_mode():
        raise OfflineMigrationError
    settings: Settings = context.config.attributes.get("settings") or get_settings()
    engine = create_engine(
        _url(settings),
        poolclass=pool.NullPool,
        # A lock that is not had soon blocks everybody behind it. Whoever logs in, the owner owns.
        connect_args={"options": f"-c lock_timeout=10s -c role={OWNER}", "prepare_threshold": None},
    )
    with engine.connect() as connection:
        driver: psycopg.Connection[Any] | None = connection.connection.driver_connection
        assert driver is not None
        refuse_unsafe(driver.info.server_version)
        _configure(connection)
        with context.begin_transaction():
            context.run_migrations()
            _install_seal_key(driver, settings)


def _url(settings: Settings) -> str:
    url = context.get_x_argument(as_dictionary=True).get("url") or settings.owner_database_url
    if url is None:
        raise OwnerUrlMissingError
    return "postgresql+psycopg://" + str(url).split("://", 1)[1]


def _configure(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=load_tables(),
        include_object=_is_ours,
        transaction_per_migration=False,
    )


def _is_ours(
    _: SchemaItem,
    name: str | None,
    kind: str,
    reflected: bool,  # noqa: FBT001 (Alembic's signature)
    compared: SchemaItem | None,
) -> bool:
    """Leave out partitions: the database makes them, month by month."""
    is_partition = kind == "table" and reflected and compared is None and (name or "").startswith(PARTITIONED)
    return not is_partition


def _install_seal_key(connection: psycopg.Connection[Any], settings: Settings) -> None:
    row = connection.execute("SELECT to_regprocedure('app.install_seal_key(bytea, bytea)')").fetchone()
    if row is None or row[0] is None:
        return  # migrated down to before it
    key = verification_key(settings.seal_secret.get_secret_value().encode())
    connection.execute("SELECT app.install_seal_key(%s, %s)", (key.inner, key.outer))


migrate()
