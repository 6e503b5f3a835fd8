"""Give a server the roles and the database of the application."""

import psycopg

from migrations.bootstrap import RolePasswords, create_database, create_roles, harden_database


def bootstrap(superuser_conninfo: str, passwords: RolePasswords, database: str) -> None:
    """Create the roles, or set their passwords, and *database* where it is missing; close both."""
    create_roles(superuser_conninfo, passwords)
    with psycopg.connect(superuser_conninfo) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
    if found is None:
        create_database(superuser_conninfo, database)
    else:
        harden_database(superuser_conninfo, database)
