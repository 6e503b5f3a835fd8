"""Give an embedded server the roles and the database of the application."""

import psycopg
from psycopg import sql

from ops.stack_secrets import StackSecrets

OWNER = "genius_owner"
APP = "genius_app"
RELAY = "genius_relay"


def bootstrap(superuser_conninfo: str, secrets: StackSecrets, database: str) -> None:
    """Create what is missing of the roles and *database*; set the roles' passwords."""
    passwords = {OWNER: secrets.owner_password, APP: secrets.app_password, RELAY: secrets.relay_password}
    with psycopg.connect(superuser_conninfo, autocommit=True) as connection:
        for role, password in passwords.items():
            name = sql.Identifier(role)
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
            connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(name, sql.Literal(password)))
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone():
            create = sql.SQL("CREATE DATABASE {} OWNER {}")
            connection.execute(create.format(sql.Identifier(database), sql.Identifier(OWNER)))
