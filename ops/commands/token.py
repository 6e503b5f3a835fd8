"""`genius token`: mint a token for trying the HTTP interface; revoke tokens."""

import getpass
from datetime import timedelta
from typing import Annotated
from uuid import UUID

import typer

from models.organization import Tenant, load_tenant
from models.revocation import RevocationTarget, revoke
from models.session import Database, tenant_session
from models.user import Permission, Role
from ops.configuration import database_in_force, settings_in_force
from ops.error import OperatorError
from ops.token import mint_token
from worker.publish import Publisher

app = typer.Typer(help="Mint a token for trying the HTTP interface; revoke tokens.")

Org = Annotated[UUID, typer.Option("--org", help="Id of the organization.")]


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


@app.callback(invoke_without_command=True)
def token(
    context: typer.Context,
    org: Annotated[UUID | None, typer.Option(help="Id of the organization.", show_default=False)] = None,
    role: Annotated[Role, typer.Option(help="What the bearer is.")] = Role.ADMIN,
    permissions: Annotated[
        str | None,
        typer.Option(help="Listed in the token beside the role: a,b; the role's own when left out."),
    ] = None,
    ttl: Annotated[int, typer.Option(min=1, help="Seconds until it expires.")] = 3600,
) -> None:
    """Print a token (JWT) for somebody of an organization, and nothing else."""
    if context.invoked_subcommand is not None:
        return
    if org is None:
        raise typer.BadParameter("name the organization", param_hint="--org")
    listed = _permissions(permissions)
    with database_in_force() as database:
        tenant = find_tenant(database, org)
    lifetime = timedelta(seconds=ttl)
    typer.echo(mint_token(settings_in_force(), tenant, role=role, permissions=listed, lifetime=lifetime))


@app.command(name="revoke")
def revoke_tokens(
    org: Org,
    token_id: Annotated[str | None, typer.Option(help="The one token of this id (jti).")] = None,
    user: Annotated[str | None, typer.Option(help="All tokens that this user has now.")] = None,
    *,
    everybody: Annotated[bool, typer.Option("--everybody", help="All tokens of the organization.")] = False,
    reason: Annotated[str | None, typer.Option(help="Kept with it and in the audit log.")] = None,
) -> None:
    """Revoke tokens before their time; every intake knows within two seconds."""
    target, subject = _target(token_id, user, everybody=everybody)
    actor = f"operator:{getpass.getuser()}"
    with database_in_force() as database:
        find_tenant(database, org)
        with tenant_session(database, org, actor=actor) as session:
            revoke(session, org, target, subject=subject, reason=reason, revoked_by=actor)
    Publisher(settings_in_force()).announce(org)
    typer.echo(f"revoked: {target.value} {subject}".strip())


def _target(token_id: str | None, user: str | None, *, everybody: bool) -> tuple[RevocationTarget, str]:
    given = [
        *([(RevocationTarget.TOKEN, token_id)] if token_id else []),
        *([(RevocationTarget.USER, user)] if user else []),
        *([(RevocationTarget.ORGANIZATION, "")] if everybody else []),
    ]
    if len(given) != 1:
        raise typer.BadParameter("name one of --token-id, --user and --everybody")
    return given[0]
