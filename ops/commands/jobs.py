"""`genius jobs`: what became of an organization's jobs, why one waits; retry and cancel."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
import redis
import typer
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from sqlalchemy import Row

from models.history import list_jobs
from models.job import JobState
from models.organization import Tenant
from models.session import Database, RelayNotConfiguredError, open_relay_database, tenant_session
from ops import words
from ops.commands.console import WIDE, list_table, table_console, with_note
from ops.commands.token import find_tenant
from ops.commands.who import operator
from ops.configuration import database_in_force, settings_in_force
from ops.error import OperatorError
from ops.job_view import JobSight, cancel_as, describe_error, find_owner, look_at_job, retry_as
from worker.publish import Publisher
from worker.refusal import LimitExceededError
from worker.submit import JobNotFoundError, JobStateError

COLUMNS = ("id", "kind", "state", "attempt", "created_at", "started_at", "finished_at", "error")
STYLES = {JobState.SUCCEEDED: "green", JobState.DEAD: "red", JobState.RUNNING: "cyan"}

app = typer.Typer(help="See what became of jobs and why one waits; retry and cancel.")

Org = Annotated[UUID | None, typer.Option("--org", help="Id of the organization.", show_default=False)]
State = Annotated[JobState | None, typer.Option(help="Only jobs in this state.", show_default=False)]
Kind = Annotated[str | None, typer.Option(help="Only jobs of this kind.", show_default=False)]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="The newest this many.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON: an object, or one per line.")]
JobId = Annotated[UUID, typer.Argument(help="Id of the job.")]


class JobUnknownError(OperatorError):
    """There is no such job; carries its id."""

    def __init__(self, job_id: UUID) -> None:
        super().__init__(
            f"No job {job_id} is found. If it has finished, name its organization with --org; "
            "`genius jobs --org ID` lists what there is."
        )
        self.job_id = job_id


class JobNotChangedError(OperatorError):
    """The job is in no state for that; says which and what to do."""


@app.callback(invoke_without_command=True)
def jobs(  # noqa: PLR0913 - one parameter per option
    context: typer.Context,
    org: Org = None,
    state: State = None,
    kind: Kind = None,
    limit: Limit = 20,
    *,
    as_json: AsJson = False,
) -> None:
    """List an organization's jobs, the newest first; or do what a subcommand says."""
    if context.invoked_subcommand is None:
        if org is None:
            raise typer.BadParameter("name the organization whose jobs to list", param_hint="--org")
        list_found(org, state, kind, limit, as_json=as_json)


@app.command("list")
def list_found(
    org: Annotated[UUID, typer.Option("--org", help="Id of the organization.")],
    state: State = None,
    kind: Kind = None,
    limit: Limit = 20,
    *,
    as_json: AsJson = False,
) -> None:
    """List an organization's jobs, the newest first."""
    with database_in_force() as database, tenant_session(database, org) as session:
        tenant = find_tenant(database, org)
        rows = list_jobs(session, COLUMNS, state=state, kind=kind, before=None, limit=limit)
    if as_json:
        for row in rows:
            typer.echo(orjson.dumps(row._asdict(), default=str).decode())
    else:
        console = table_console()
        console.print(_table(tenant.name, rows, wide=console.width >= WIDE))


@app.command()
def show(job: JobId, org: Org = None, *, as_json: AsJson = False) -> None:
    """Show a job, why it has not run, and its story; never what it carries."""
    tenant, seen = _look(job, org)
    _print_json(tenant, seen) if as_json else table_console().print(Group(*_why(tenant, seen), _story(seen)))


@app.command()
def explain(job: JobId, org: Org = None, *, as_json: AsJson = False) -> None:
    """Say why a job has not run yet, or what became of it."""
    tenant, seen = _look(job, org)
    _print_json(tenant, seen) if as_json else table_console().print(Group(*_why(tenant, seen)))


@app.command()
def retry(job: JobId, org: Org = None, *, as_json: AsJson = False) -> None:
    """Give a dead or cancelled job as many attempts again; its quota is reserved anew."""
    with _found(job, org) as (database, tenant):
        publisher = Publisher(settings_in_force())
        state = retry_as(database, tenant, job, actor=operator(), publisher=publisher)
    _changed(tenant, job, state, as_json=as_json)


@app.command()
def cancel(job: JobId, org: Org = None, *, as_json: AsJson = False) -> None:
    """Cancel a job: at once while it waits, at its next safe step while it runs."""
    with _found(job, org) as (database, tenant):
        publisher = Publisher(settings_in_force())
        state = cancel_as(database, tenant, job, actor=operator(), publisher=publisher)
    _changed(tenant, job, state, as_json=as_json)


@contextmanager
def _found(job: UUID, org: UUID | None) -> Iterator[tuple[Database, Tenant]]:
    """Find whose job it is, and report what may go wrong with it."""
    with database_in_force() as database:
        try:
            yield database, find_tenant(database, org or _owner(job))
        except JobNotFoundError:
            raise JobUnknownError(job) from None
        except JobStateError as error:
            raise JobNotChangedError(f"Job {job}: {error}; `genius jobs show {job}` tells more.") from None
        except LimitExceededError as error:
            raise JobNotChangedError(f"{error} `genius tenant show` tells what the plan gives.") from None


def _owner(job: UUID) -> UUID:
    settings = settings_in_force()
    try:
        relay = open_relay_database(settings, pool_size=1)
    except RelayNotConfiguredError:
        relay = None
    with redis.Redis.from_url(str(settings.redis_url), socket_timeout=5) as client:
        owner = find_owner(client, relay, job)
    if relay is not None:
        relay.engine.dispose()
    if owner is None:
        raise JobUnknownError(job)
    return UUID(owner)


def _look(job: UUID, org: UUID | None) -> tuple[Tenant, JobSight]:
    with (
        _found(job, org) as (database, tenant),
        redis.Redis.from_url(str(settings_in_force().redis_url), socket_timeout=5) as client,
    ):
        seen = look_at_job(database, client, tenant.organization_id, job)
        if seen is None:
            raise JobUnknownError(job)
        return tenant, seen


def _print_json(tenant: Tenant, seen: JobSight) -> None:
    told = {"organization": str(tenant.organization_id), **seen.document()}
    typer.echo(orjson.dumps(told).decode())


def _changed(tenant: Tenant, job: UUID, state: JobState, *, as_json: bool) -> None:
    if as_json:
        told = {"organization": str(tenant.organization_id), "id": str(job), "state": state.value}
        typer.echo(orjson.dumps(told).decode())
    else:
        typer.echo(f"job {job} of {tenant.name} is {state.value}")


def _why(tenant: Tenant, seen: JobSight) -> Iterator[Any]:
    job, place = seen.summary, seen.place
    style = STYLES.get(job.state, "bold")
    yield f"[{style}]{job.state}[/]  {escape(seen.explanation.explanation)}"
    if seen.error:
        yield f"[red]{escape(seen.error)}[/]"
    facts = Table.grid(padding=(0, 2))
    facts.add_row("job", str(job.id))
    facts.add_row("organization", f"{escape(tenant.name)} ({tenant.organization_id})")
    facts.add_row("kind, lane", f"{job.kind}, {seen.lane}")
    facts.add_row("attempts", f"{job.attempt} of {job.max_attempts}")
    facts.add_row("submitted", f"{words.moment(job.created_at)} UTC")
    if seen.explanation.until is not None:
        facts.add_row("until", f"{words.moment(seen.explanation.until)} UTC at the earliest")
    if place is not None:
        facts.add_row("own jobs before it", str(place.jobs_before))
        facts.add_row("tenants before", str(place.tenants_before))
        facts.add_row("in flight", f"{place.in_flight} (cap {tenant.terms.cap})")
        facts.add_row("such a job runs", words.span(place.average) or "not known yet")
        facts.add_row("workers asked, ago", words.span(_since(place.workers_seen)) or "never")
    yield facts


def _story(seen: JobSight) -> Table:
    table = list_table("Story", ("when (UTC)", "state", "attempt", "why"), numbers=("attempt",))
    for event in seen.events:
        detail = event.detail or {}
        why = "its worker died or lost touch" if detail.get("lease_lost") else ""
        why = (describe_error(detail) or "") if detail.get("message") else why
        table.add_row(words.moment(event.at), event.state, str(event.attempt), escape(why))
    return table


def _table(title: str, rows: Sequence[Row[Any]], *, wide: bool) -> Table:
    extra = ("attempt", "ran") if wide else ()
    headings = ("job", "kind", "state", "waited", *extra)
    table = list_table(f"Jobs of {title}", headings, numbers=("waited", *extra))
    for row in rows:
        style = STYLES.get(JobState(row.state), "")
        more = (str(row.attempt), words.span(_ran(row))) if wide else ()
        table.add_row(
            with_note(str(row.id), _reason(row.error), style="red"),
            row.kind,
            f"[{style}]{row.state}[/]" if style else row.state,
            words.span(_waited(row)),
            *more,
        )
    return table


def _waited(row: Row[Any]) -> float | None:
    waits = row.state in {JobState.QUEUED, JobState.SCHEDULED}
    return _seconds(row.created_at, row.started_at or (datetime.now(UTC) if waits else None))


def _ran(row: Row[Any]) -> float | None:
    now = datetime.now(UTC) if row.state == JobState.RUNNING else None
    return _seconds(row.started_at, row.finished_at or now)


def _since(moment: datetime | None) -> float | None:
    return _seconds(moment, datetime.now(UTC))


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else max((end - start).total_seconds(), 0.0)


def _reason(error: dict[str, Any] | None) -> str:
    return "" if not error else str(error.get("message") or error)
