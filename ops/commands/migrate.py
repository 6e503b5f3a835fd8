"""`genius migrate`: bring the database to the newest revision."""

import typer

from ops.configuration import settings_in_force
from ops.error import OperatorError
from ops.schema import current_revision, upgrade


class OwnerMissingError(OperatorError):
    """Only the owner of the tables may change them."""

    def __init__(self) -> None:
        super().__init__("Set GENIUS_OWNER_DATABASE_URL: only the owner of the tables may change them.")


def migrate() -> None:
    """Bring the database to the newest revision, as the owner of its tables."""
    settings = settings_in_force()
    if settings.owner_database_url is None:
        raise OwnerMissingError
    upgrade(settings)
    typer.echo(f"The database is at revision {current_revision(settings)}.")
