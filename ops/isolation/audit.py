"""Everything that `genius audit-isolation` looks at."""

from collections.abc import Sequence

import psycopg

from config.settings import Settings
from intake.app import create_app
from ops.isolation.catalogue import audit_catalogue
from ops.isolation.doors import audit_doors
from ops.isolation.finding import Finding
from ops.isolation.routes import audit_routes


def audit_isolation(settings: Settings) -> Sequence[Finding]:
    """Return what in the database, the routes and the code could let a tenant reach another."""
    url = str(settings.owner_database_url or settings.database_url)
    with psycopg.connect(url, connect_timeout=5) as connection:
        connection.read_only = True
        found = audit_catalogue(connection)
    return [*found, *audit_routes(create_app(settings)), *audit_doors()]
