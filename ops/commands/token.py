"""`genius token`: mint a token for trying the HTTP interface."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

import typer

from models.organization import Tenant, load_tenant
from models.session import Database
from models.user import Permission, Role
from ops.configuration import database_in_force, settings_in_force
from ops.error import OperatorError
from ops.token import mint_token


class OrganizationUnknownError(OperatorError):
    """There is no such organization; carries the id."""

    def __init__(self, organization_id: UUID) -> None:
        super().__init__(f"There is no organization {organization_id}. Make one with `genius org create`.")
        self.organization_id = organization_id


def find_tenant(database: Database, organization_id: UUID) -> Tenant:
    """Return the organization or raise OrganizationUnknownError."""
    tenant = load_tenant(database, organization_id)
    if tenant is None:
        raise OrganizationUnknownError(organization_id)
    return tenant


def _permissions(listed: str | None) -> list[str] | None:
    if listed is None:
        return None
    names = [name.strip() for name in listed.split(",") if name.strip()]
    unknown = sorted(set(names) - set(Permission))
    if unknown:
        raise typer.BadParameter(
            f"no such permission: {', '.join(unknown)}; there are {', '.join(Permission)}"
        )
    return names


def token(
    org: Annotated[UUID, typer.Option(help="Id of the organization.")],
    role: Annotated[Role, typer.Option(help="What the bearer is.")] = Role.ADMIN,
    permissions: Annotated[
        str | None,
        typer.Option(help="Listed in the token beside the role: a,b; the role's own when left out."),
    ] = None,
    ttl: Annotated[int, typer.Option(min=1, help="Seconds until it expires.")] = 3600,
) -> None:
    """Print a token (JWT) for somebody of an organization, and nothing else."""
    listed = _permissions(permissions)
    with database_in_force() as database:
        tenant = find_tenant(database, org)
    lifetime = timedelta(seconds=ttl)
    typer.echo(mint_token(settings_in_force(), tenant, role=role, permissions=listed, lifetime=lifetime))
