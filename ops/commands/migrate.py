"""`genius migrate`: bring the database to the newest revision."""

from urllib.parse import unquote

import typer

from config.settings import Settings, read_variable
from migrations.bootstrap import RolePasswords
from ops.configuration import settings_in_force
from ops.error import OperatorError
from ops.roles import bootstrap
from ops.schema import current_revision, upgrade

SUPERUSER_VARIABLE = "GENIUS_SUPERUSER_DATABASE_URL"


class UrlMissingError(OperatorError):
    """A role's URL is needed; carries its variable."""

    def __init__(self, variable: str, reason: str) -> None:
        super().__init__(f"Set {variable}: {reason}")
        self.variable = variable


def migrate() -> None:
    """Bring the database to the newest revision, as the owner of its tables.

    With GENIUS_SUPERUSER_DATABASE_URL set, first create the roles and the database that the other URLs name.
    """
    settings = settings_in_force()
    if settings.owner_database_url is None:
        raise UrlMissingError("GENIUS_OWNER_DATABASE_URL", "only the owner of the tables may change them.")
    superuser_url = read_variable(SUPERUSER_VARIABLE)
    if superuser_url:
        bootstrap(superuser_url, role_passwords(settings), database_name(settings))
    upgrade(settings)
    typer.echo(f"The database is at revision {current_revision(settings)}.")


def role_passwords(settings: Settings) -> RolePasswords:
    """Take the roles' passwords from the URLs by which they will log in."""
    urls = {
        "GENIUS_OWNER_DATABASE_URL": settings.owner_database_url,
        "GENIUS_DATABASE_URL": settings.database_url,
        "GENIUS_RELAY_DATABASE_URL": settings.relay_database_url,
    }
    found = []
    for variable, url in urls.items():
        password = None if url is None else url.hosts()[0]["password"]
        if password is None:
            raise UrlMissingError(variable, "with a password, to create its role.")
        found.append(unquote(password))
    owner, app, relay = found
    return RolePasswords(owner=owner, app=app, relay=relay)


def database_name(settings: Settings) -> str:
    """Return the name of the application's database."""
    return (settings.database_url.path or "").removeprefix("/")
