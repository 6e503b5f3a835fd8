"""`genius backup` and `genius restore`."""

from pathlib import Path
from typing import Annotated
from urllib.parse import quote, urlsplit, urlunsplit

import typer

from config.settings import Settings, read_variable
from ops.backup.make import make_backup
from ops.backup.manifest import Manifest
from ops.backup.restore import restore_backup
from ops.commands.migrate import SUPERUSER_VARIABLE, UrlMissingError, database_name, role_passwords
from ops.configuration import settings_in_force
from ops.embedded_postgres import SUPERUSER
from ops.roles import bootstrap
from ops.stack import VAR
from ops.stack_secrets import read_variables

At = Annotated[Path, typer.Argument(help="Folder of the backup.", show_default=False)]
Jobs = Annotated[int, typer.Option(min=1, max=64, help="Tables that are copied at the same time.")]


def backup(directory: At, *, jobs: Jobs = 2) -> None:
    """Back the database up into a new folder, while everything goes on."""
    settings = settings_in_force()
    manifest = make_backup(_superuser_url(settings, database_name(settings)), directory, settings, jobs=jobs)
    rows = sum(manifest.rows.values())
    typer.echo(
        f"{directory} holds {rows:,} rows of {len(manifest.rows)} tables at revision {manifest.revision}. "
        "Keep it and GENIUS_CREDENTIAL_SECRET apart."
    )


def restore(
    directory: At,
    *,
    jobs: Jobs = 2,
    without_credentials: Annotated[
        bool, typer.Option(help="The secret of the tokens in it is lost: accounts are connected again.")
    ] = False,
) -> None:
    """Bring a backup into an empty server, migrate it and prove that it is whole; exits with 1 if not."""
    settings = settings_in_force()
    manifest = Manifest.read(directory)
    if not without_credentials:
        manifest.check_credentials(settings)
    database = database_name(settings)
    bootstrap(_superuser_url(settings, "postgres"), role_passwords(settings), database)
    findings = restore_backup(_superuser_url(settings, database), directory, settings, jobs=jobs)
    for finding in findings:
        typer.echo(f"{'ok' if finding.holds else 'NO'}  {finding.check}")
        for trouble in finding.trouble:
            typer.echo(f"    {trouble}")
    if not all(finding.holds for finding in findings):
        raise typer.Exit(1)
    typer.echo("Start beats and workers: the relay offers every waiting job to the queue again.")


def _superuser_url(settings: Settings, database: str) -> str:
    given = read_variable(SUPERUSER_VARIABLE) or _of_the_running_stack(settings)
    if given is None:
        raise UrlMissingError(SUPERUSER_VARIABLE, "only who passes policies sees every organization's rows.")
    return urlunsplit(urlsplit(given)._replace(path=f"/{database}"))


def _of_the_running_stack(settings: Settings) -> str | None:
    """Return the superuser's URL of the stack that `genius up` runs, which nobody has to be told."""
    password = read_variables(VAR / "secrets.env").get("GENIUS_SUPERUSER_PASSWORD")
    if password is None or settings.environment != "development":
        return None
    address = settings.database_url.hosts()[0]
    return f"postgresql://{SUPERUSER}:{quote(password)}@{address['host']}:{address['port']}/postgres"
