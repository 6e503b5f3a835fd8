"""`genius schedules`: the platform's own recurring work."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import typer
from sqlalchemy import select

from models.organization import Organization, OrganizationStatus, load_tenant
from models.session import open_relay_database, relay_session
from ops.configuration import database_in_force, settings_in_force
from tasks.recurring import install

app = typer.Typer(no_args_is_help=True, help="Look after the platform's own recurring work.")


@app.callback()
def schedules() -> None:
    """Look after the platform's own recurring work."""


@app.command("install")
def install_missing(
    organization: Annotated[
        list[UUID] | None, typer.Option("--org", help="Only this one; may be repeated.", show_default=False)
    ] = None,
) -> None:
    """Give organizations the platform's schedules that they lack; safe to repeat."""
    made = 0
    with database_in_force() as database:
        for organization_id in organization or _active():
            tenant = load_tenant(database, organization_id)
            made += len(install(database, tenant)) if tenant else 0
    typer.echo(f"{made} schedules made")


def _active() -> Sequence[UUID]:
    relay = open_relay_database(settings_in_force(), pool_size=1)
    query = select(Organization.organization_id).where(Organization.status == OrganizationStatus.ACTIVE)
    try:
        with relay_session(relay) as session:
            return session.scalars(query).all()
    finally:
        relay.engine.dispose()
