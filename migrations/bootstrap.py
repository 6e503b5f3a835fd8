"""Make the roles and an empty database; both need a superuser, unlike everything after them."""

from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

ROLES_SQL = Path(__file__).parent / "sql" / "roles.sql"
HARDEN_SQL = Path(__file__).parent / "sql" / "harden.sql"

OWNER = "genius_owner"
APPLICATION = "genius_app"
RELAY = "genius_relay"


@dataclass(frozen=True, slots=True)
class RolePasswords:
    owner: str = field(repr=False)
    app: str = field(repr=False)
    relay: str = field(repr=False)


def create_roles(superuser_conninfo: str, passwords: RolePasswords) -> None:
    """Create the login roles of a cluster, or set the passwords of those there are."""
    given = {OWNER: passwords.owner, APPLICATION: passwords.app, RELAY: passwords.relay}
    with psycopg.connect(superuser_conninfo) as connection:
        for role, password in given.items():
            # Hashed on this side, so that no server log ever shows it.
            hashed = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
            connection.execute(
                "SELECT set_config(%s, %s, true)", (f"genius.{role}_password", hashed.decode())
            )
        connection.execute(ROLES_SQL.read_bytes())


def create_database(superuser_conninfo: str, name: str, *, template: str = "template0") -> None:
    """Create the database *name*, owned by the migrator and closed to everybody but our roles.

    Postgres does not copy a template's privileges on the database itself: make test clones here too.
    """
    database = sql.Identifier(name)
    owner, application, relay = (sql.Identifier(role) for role in (OWNER, APPLICATION, RELAY))
    with psycopg.connect(superuser_conninfo, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(
                database, owner, sql.Identifier(template)
            )
        )
        connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
        connection.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}, {}").format(database, application, relay)
        )
    # Before Postgres 16 the owner of a database without INHERIT is not the owner of its schema public.
    with psycopg.connect(superuser_conninfo, dbname=name) as connection:
        connection.execute(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(owner))
        connection.execute(HARDEN_SQL.read_bytes())


def harden_database(superuser_conninfo: str, name: str) -> None:
    """Take from everybody in the database *name* what Postgres grants by default and nobody here needs."""
    with psycopg.connect(superuser_conninfo, dbname=name) as connection:
        connection.execute(HARDEN_SQL.read_bytes())
