"""`genius deadletters`: what died and of which error; give it another life."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from intake.views.dead_letter import DeadLetterGroup, DeadLetterSummary, group_dead_letters, list_dead_letters
from models.organization import Tenant
from models.session import RelayNotConfiguredError, open_relay_database, tenant_session
from ops import words
from ops.commands.console import list_table, table_console, with_note
from ops.commands.token import find_tenant
from ops.commands.who import operator
from ops.configuration import database_in_force, settings_in_force
from ops.dead_letter_view import DeadGroup, requeue_as, survey_dead
from ops.directory import Directory
from ops.error import OperatorError
from ops.job_view import describe_error
from worker.dead_letter import DeadLetterFilter, Requeued, count_dead
from worker.publish import Publisher

app = typer.Typer(no_args_is_help=True, help="Look at dead letters and requeue them.")

Org = Annotated[UUID, typer.Option("--org", help="Id of the organization.")]
AnyOrg = Annotated[
    UUID | None,
    typer.Option("--org", help="Id of the organization; without it, counts of all.", show_default=False),
]
Kind = Annotated[str | None, typer.Option(help="Only jobs of this kind.")]
Fingerprint = Annotated[str | None, typer.Option(help="Only of this error, as `list --groups` shows it.")]
Since = Annotated[datetime | None, typer.Option(help="Died at or after this moment (UTC unless it says).")]
Until = Annotated[datetime | None, typer.Option(help="Died before this moment (UTC unless it says).")]
MOST = 1_000_000


@app.command("list")
def list_letters(  # noqa: PLR0913 - one parameter per option
    organization_id: AnyOrg = None,
    kind: Kind = None,
    fingerprint: Fingerprint = None,
    since: Since = None,
    until: Until = None,
    *,
    groups: Annotated[bool, typer.Option("--groups", help="Count by kind and error.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The newest this many.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """List an organization's dead letters, those of the newest jobs first; or count everybody's."""
    if organization_id is None:
        _survey(limit, as_json=as_json)
        return
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
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Give dead jobs as many attempts again; their quota is reserved anew."""
    wanted = _filter(kind, fingerprint, since, until)
    with database_in_force() as database:
        tenant = find_tenant(database, organization_id)
        if dry_run:
            done = Requeued(count_dead(database, tenant, wanted), 0)
        else:
            publisher = Publisher(settings_in_force())
            done = requeue_as(database, tenant, wanted, actor=operator(), publisher=publisher, limit=limit)
    _report(done, dry_run=dry_run, as_json=as_json)


def _report(done: Requeued, *, dry_run: bool, as_json: bool) -> None:
    refusal = None if done.refusal is None else str(done.refusal)
    if as_json:
        told = {"matched": done.matched, "requeued": done.requeued, "dry_run": dry_run, "refusal": refusal}
        typer.echo(orjson.dumps(told).decode())
    elif dry_run:
        typer.echo(f"{done.matched} dead letters would be requeued")
    else:
        typer.echo(f"{done.requeued} of {done.matched} dead letters requeued")
    if refusal is not None:
        typer.secho(f"Error: {refusal}", err=True, fg=typer.colors.RED)
        raise typer.Exit(1)


def _survey(limit: int, *, as_json: bool) -> None:
    """Count dead letters of every organization by kind and error."""
    try:
        relay = open_relay_database(settings_in_force(), pool_size=1)
    except RelayNotConfiguredError as error:
        raise RelayWantedError(str(error)) from None
    with database_in_force() as database:
        groups = survey_dead(relay, limit=limit)
        known = Directory(database).find_each(str(group.organization_id) for group in groups)
    relay.engine.dispose()
    named = [(group, known.get(str(group.organization_id))) for group in groups]
    if as_json:
        for group, tenant in named:
            typer.echo(orjson.dumps({**asdict(group), "name": tenant and tenant.name}).decode())
    else:
        table_console().print(_survey_table(named))


class RelayWantedError(OperatorError):
    """Nothing is configured that may look across organizations."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Dead letters of all organizations: {reason}, or name one with --org.")


def _survey_table(named: Sequence[tuple[DeadGroup, Tenant | None]]) -> Table:
    headings = ("organization", "kind", "count", "last died (UTC)")
    table = list_table("Dead letters of every organization", headings, numbers=("count",))
    for group, tenant in named:
        name = escape(tenant.name) if tenant else ""
        table.add_row(
            with_note(name, str(group.organization_id)),
            *(group.kind, f"{group.count:,}", words.moment(group.last_died_at)),
        )
    return table


def _filter(
    kind: str | None, fingerprint: str | None, since: datetime | None, until: datetime | None
) -> DeadLetterFilter:
    return DeadLetterFilter(kind=kind, fingerprint=fingerprint, since=_aware(since), until=_aware(until))


def _aware(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _table(title: str, found: Sequence[DeadLetterGroup | DeadLetterSummary]) -> Table:
    headings = ("job, or how many", "kind", "fingerprint", "died (UTC)")
    table = list_table(title, headings)
    for view in found:
        match view:
            case DeadLetterGroup():
                subject, died = f"{view.count:,}", view.last_died_at
            case DeadLetterSummary():
                subject, died = str(view.job_id), view.died_at
        note = describe_error(view.error)
        table.add_row(with_note(subject, note, style="red"), view.kind, view.fingerprint, words.moment(died))
    return table
