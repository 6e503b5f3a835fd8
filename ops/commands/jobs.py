"""`genius jobs`: what became of an organization's jobs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
import typer
from rich.table import Table
from sqlalchemy import Row

from models.history import list_jobs
from models.job import JobState
from models.session import tenant_session
from ops.commands.console import table_console
from ops.commands.token import find_tenant
from ops.configuration import database_in_force

COLUMNS = ("id", "kind", "state", "attempt", "created_at", "started_at", "finished_at", "error")
STYLES = {JobState.SUCCEEDED: "green", JobState.DEAD: "red", JobState.RUNNING: "cyan"}


def jobs(
    org: Annotated[UUID, typer.Option(help="Id of the organization.")],
    state: Annotated[JobState | None, typer.Option(help="Only jobs in this state.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only jobs of this kind.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The newest this many.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,  # noqa: FBT002 - an option
) -> None:
    """List an organization's jobs, the newest first."""
    with database_in_force() as database, tenant_session(database, org) as session:
        tenant = find_tenant(database, org)
        rows = list_jobs(session, COLUMNS, state=state, kind=kind, before=None, limit=limit)
    if as_json:
        for row in rows:
            typer.echo(orjson.dumps(row._asdict(), default=str).decode())
    else:
        table_console().print(_table(tenant.name, rows))


def _table(title: str, rows: Sequence[Row[Any]]) -> Table:
    table = Table(title=f"Jobs of {title}")
    for heading in ("id", "kind", "state", "attempt", "waited", "ran", "error"):
        table.add_column(heading, no_wrap=heading in {"id", "kind", "state"})
    for row in rows:
        style = STYLES.get(JobState(row.state), "")
        table.add_row(
            *(str(row.id), row.kind, f"[{style}]{row.state}[/]" if style else row.state, str(row.attempt)),
            *(
                _span(row.created_at, row.started_at),
                _span(row.started_at, row.finished_at),
                _reason(row.error),
            ),
        )
    return table


def _span(start: datetime | None, end: datetime | None) -> str:
    return "" if start is None or end is None else f"{(end - start).total_seconds():.3f} s"


def _reason(error: dict[str, Any] | None) -> str:
    return "" if not error else str(error.get("message") or error)
