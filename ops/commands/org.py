"""`genius org`: make organizations."""

from typing import Annotated
from uuid import UUID

import typer
from uuid_utils.compat import uuid7

from models.organization import Organization, PlanName, load_tenant
from models.session import tenant_session
from ops.configuration import database_in_force, settings_in_force
from ops.error import OperatorError

app = typer.Typer(no_args_is_help=True, help="Make organizations.")


class OrganizationExistsError(OperatorError):
    """The id is taken; carries it."""

    def __init__(self, organization_id: UUID) -> None:
        super().__init__(f"An organization {organization_id} exists already.")
        self.organization_id = organization_id


@app.callback()
def organizations() -> None:
    """Make organizations."""


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What people call it.")],
    plan: Annotated[PlanName, typer.Option(help="What it may use.")],
    identity: Annotated[
        UUID | None, typer.Option("--id", help="Its id; a new one when left out.", show_default=False)
    ] = None,
) -> None:
    """Make an organization and print its id, and nothing else."""
    organization_id = identity or uuid7()
    with database_in_force() as database:
        if load_tenant(database, organization_id) is not None:
            raise OrganizationExistsError(organization_id)
        made = {"organization_id": organization_id, "name": name, "plan": plan.value}
        with tenant_session(database, organization_id) as session:
            session.add(Organization(**made, region=settings_in_force().region))
    typer.echo(organization_id)
