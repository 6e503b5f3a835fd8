"""`genius deadletters`: what died and of which error; give it another life."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import orjson
import typer
from rich.table import Table

from intake.views.dead_letter import DeadLetterGroup, DeadLetterSummary, group_dead_letters, list_dead_letters
from models.session import tenant_session
from ops.commands.console import table_console
from ops.commands.token import find_tenant
from ops.configuration import database_in_force, settings_in_force
from worker.dead_letter import DeadLetterFilter, count_dead, requeue_dead
from worker.publish import Publisher

app = typer.Typer(no_args_is_help=True, help="Look at dead letters and requeue them.")

Org = Annotated[UUID, typer.Option("--org", help="Id of the organization.")]
Kind = Annotated[str | None, typer.Option(help="Only jobs of this kind.")]
Fingerprint = Annotated[str | None, typer.Option(help="Only of this error, as `list --groups` shows it.")]
Since = Annotated[datetime | None, typer.Option(help="Died at or after this moment (UTC unless it says).")]
Until = Annotated[datetime | None, typer.Option(help="Died before this moment (UTC unless it says).")]
MOST = 1_000_000


@app.command("list")
def list_letters(  # noqa: PLR0913 - one parameter per option
    organization_id: Org,
    kind: Kind = None,
    fingerprint: Fingerprint = None,
    since: Since = None,
    until: Until = None,
    *,
    groups: Annotated[bool, typer.Option("--groups", help="Count by kind and error.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The newest this many.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """List an organization's dead letters, those of the newest jobs first."""
    wanted = _filter(kind, fingerprint, since, until)
    with database_in_force() as database, tenant_session(database, organization_id) as session:
        tenant = find_tenant(database, organization_id)
        found: list[DeadLetterGroup | DeadLetterSummary] = []
        if groups:
            found += [DeadLetterGroup.model_validate(row) for row in group_dead_letters(session, wanted)]
        else:
            rows = list_dead_letters(session, wanted, before=None, limit=limit)
            found += [DeadLetterSummary.model_validate(row) for row in rows]
    if as_json:
        for view in found:
            typer.echo(orjson.dumps(view.model_dump(mode="json")).decode())
    else:
        table_console().print(_table(f"Dead letters of {tenant.name}", found))


@app.command()
def requeue(  # noqa: PLR0913 - one parameter per option
    organization_id: Org,
    kind: Kind = None,
    fingerprint: Fingerprint = None,
    since: Since = None,
    until: Until = None,
    *,
    limit: Annotated[int, typer.Option(min=1, help="The oldest this many.")] = MOST,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
) -> None:
    """Give dead jobs as many attempts again; their quota is reserved anew."""
    wanted = _filter(kind, fingerprint, since, until)
    with database_in_force() as database:
        tenant = find_tenant(database, organization_id)
        if dry_run:
            typer.echo(f"{count_dead(database, tenant, wanted)} dead letters would be requeued")
            return
        publisher = Publisher(settings_in_force())
        done = requeue_dead(database, tenant, wanted, limit=limit, publisher=publisher)
    typer.echo(f"{done.requeued} of {done.matched} dead letters requeued")
    if done.refusal is not None:
        typer.secho(f"Error: {done.refusal}", err=True, fg=typer.colors.RED)
        raise typer.Exit(1)


def _filter(
    kind: str | None, fingerprint: str | None, since: datetime | None, until: datetime | None
) -> DeadLetterFilter:
    return DeadLetterFilter(kind=kind, fingerprint=fingerprint, since=_aware(since), until=_aware(until))


def _aware(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _table(title: str, found: Sequence[DeadLetterGroup | DeadLetterSummary]) -> Table:
    table = Table(title=title)
    for heading in ("kind", "fingerprint", "count or job", "died", "error"):
        table.add_column(heading, no_wrap=heading != "error")
    for view in found:
        match view:
            case DeadLetterGroup():
                subject, died = str(view.count), view.last_died_at
            case DeadLetterSummary():
                subject, died = str(view.job_id), view.died_at
        error = view.error or {}
        table.add_row(
            *(view.kind, view.fingerprint, subject, died.isoformat(timespec="seconds")),
            f"{error.get('type', '')}: {error.get('message', '')}",
        )
    return table
