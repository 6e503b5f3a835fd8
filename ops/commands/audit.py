"""`genius audit`: see that nobody tampered with the audit log."""

from typing import Annotated
from uuid import UUID

import typer
from sqlalchemy import func, select

from models.audit import AuditEntry, AuditHead, audit_entries
from models.session import Database, tenant_session
from ops.configuration import database_in_force
from ops.organizations import chosen_organizations

app = typer.Typer(no_args_is_help=True, help="See that nobody tampered with the audit log.")

Org = Annotated[UUID | None, typer.Option("--org", help="Id of the organization.", show_default=False)]
Everybody = Annotated[bool, typer.Option("--all", help="Every organization.")]


@app.callback()
def audit() -> None:
    """See that nobody tampered with the audit log."""


@app.command()
def verify(org: Org = None, *, everybody: Everybody = False) -> None:
    """Check each chain against its own hashes; name the first broken link and exit with 1 if there is one."""
    organizations = chosen_organizations(org, everybody=everybody)
    with database_in_force() as database:
        broken = [identity for identity in organizations if not _holds(database, identity)]
    if broken:
        raise typer.Exit(1)


def _holds(database: Database, organization_id: UUID) -> bool:
    with tenant_session(database, organization_id) as session:
        position = session.scalar(select(func.app.first_broken_audit()))
        length = session.scalar(select(AuditHead.position)) or 0
        if position is None:
            typer.echo(f"{organization_id}: holds, {length} entries")
            return True
        entry = session.execute(audit_entries().where(AuditEntry.position == position)).one_or_none()
    what = "it is missing" if entry is None else f"{entry.occurred_at:%Y-%m-%d %H:%M:%S} {entry.action}"
    typer.secho(f"{organization_id}: BROKEN at entry {position} of {length}: {what}", fg=typer.colors.RED)
    return False
