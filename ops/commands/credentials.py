"""`genius credentials`: bring secrets at rest under the current master key."""

from typing import Annotated
from uuid import UUID

import typer

from models.session import tenant_session
from ops.commands.who import operator
from ops.configuration import database_in_force, settings_in_force
from ops.organizations import chosen_organizations
from tasks.credentials import Rotated, encrypt_anew
from tasks.vault import make_vault

app = typer.Typer(no_args_is_help=True, help="Bring secrets at rest under the current master key.")

Org = Annotated[UUID | None, typer.Option("--org", help="Id of the organization.", show_default=False)]
Everybody = Annotated[bool, typer.Option("--all", help="Every organization.")]


@app.callback()
def credentials() -> None:
    """Bring secrets at rest under the current master key."""


@app.command()
def rotate(org: Org = None, *, everybody: Everybody = False) -> None:
    """Re-encrypt what is under a retired key; exits with 1 while anything is under a key that nobody has.

    Set GENIUS_CREDENTIAL_SECRET to the new key and GENIUS_RETIRED_CREDENTIAL_SECRETS to the former ones
    everywhere first; take the former ones away when this has changed nothing.
    """
    vault, total = make_vault(settings_in_force()), Rotated()
    organizations = chosen_organizations(org, everybody=everybody)
    with database_in_force() as database:
        for organization_id in organizations:
            with tenant_session(database, organization_id, actor=operator()) as session:
                total += encrypt_anew(session, vault)
    typer.echo(
        f"{len(organizations)} organizations: {total.changed} rows re-encrypted,"
        f" {total.unreadable} unreadable"
    )
    if total.unreadable:
        raise typer.Exit(1)
