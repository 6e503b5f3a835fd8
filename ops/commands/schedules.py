"""`genius schedules`: what recurs, of an organization and of the platform, and when it runs next."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
import typer
from rich.markup import escape
from rich.table import Table
from sqlalchemy import func, select

from intake.recurrence import next_from
from intake.views.schedule import list_runs, next_runs
from models.organization import Organization, OrganizationStatus, load_tenant
from models.schedule import Schedule
from models.session import open_relay_database, relay_session, tenant_session
from ops import words
from ops.commands.console import list_table, table_console, with_note
from ops.commands.token import find_tenant
from ops.commands.who import operator
from ops.configuration import database_in_force, settings_in_force
from ops.error import OperatorError
from tasks.recurring import install
from worker.fire import timing_of

app = typer.Typer(no_args_is_help=True, help="See what recurs and when; pause and resume it.")

Org = Annotated[UUID, typer.Option("--org", help="Id of the organization.")]
ScheduleId = Annotated[UUID, typer.Argument(help="Id of the schedule.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON: an object, or one per line.")]
RUNS_SHOWN = 20


class ScheduleUnknownError(OperatorError):
    """The organization has no such schedule; carries its id."""

    def __init__(self, schedule_id: UUID) -> None:
        super().__init__(f"There is no schedule {schedule_id}; `genius schedules list --org ID` lists them.")
        self.schedule_id = schedule_id


@app.callback()
def schedules() -> None:
    """See what recurs and when; pause and resume it."""


@app.command("list")
def list_all(org: Org, *, as_json: AsJson = False) -> None:
    """List an organization's schedules and those that the platform gives it, with the next run of each."""
    with database_in_force() as database, tenant_session(database, org) as session:
        tenant = find_tenant(database, org)
        found = session.scalars(select(Schedule).order_by(Schedule.next_nominal.nulls_last())).all()
        rows = [_document(schedule) for schedule in found]
    if as_json:
        for row in rows:
            typer.echo(orjson.dumps(row).decode())
    else:
        table_console().print(_table(f"Schedules of {tenant.name}", rows))


@app.command()
def show(schedule_id: ScheduleId, org: Org, *, as_json: AsJson = False) -> None:
    """Show a schedule, its next runs and what became of the last ones."""
    with database_in_force() as database, tenant_session(database, org) as session:
        schedule = session.get(Schedule, (org, schedule_id))
        if schedule is None:
            raise ScheduleUnknownError(schedule_id)
        told = _document(schedule)
        told["next_runs"] = [run.nominal_time for run in next_runs(schedule, 5)]
        found = list_runs(session, schedule_id, state=None, before=None, limit=RUNS_SHOWN)
        told["runs"] = [row._asdict() for row in found]
    if as_json:
        typer.echo(orjson.dumps(told).decode())
    else:
        console = table_console()
        console.print(_table(told["name"], [told]), _runs(told["runs"]), sep="\n")


@app.command()
def pause(schedule_id: ScheduleId, org: Org, *, as_json: AsJson = False) -> None:
    """Let a schedule rest; what comes due meanwhile never runs."""
    _rest(schedule_id, org, paused=True, as_json=as_json)


@app.command()
def resume(schedule_id: ScheduleId, org: Org, *, as_json: AsJson = False) -> None:
    """Let a schedule go on with its next run from now."""
    _rest(schedule_id, org, paused=False, as_json=as_json)


def _rest(schedule_id: UUID, org: UUID, *, paused: bool, as_json: bool) -> None:
    with database_in_force() as database, tenant_session(database, org, actor=operator()) as session:
        schedule = session.get(Schedule, (org, schedule_id), with_for_update=True)
        if schedule is None:
            raise ScheduleUnknownError(schedule_id)
        if schedule.paused and not paused:
            schedule.next_nominal = next_from(timing_of(schedule), datetime.now(UTC))
            schedule.revision += 1  # what a beat computed before is not fired
        schedule.paused = paused
        session.execute(
            select(func.app.audit(f"schedules.{'pause' if paused else 'resume'}", str(schedule_id)))
        )
        told = _document(schedule)
    if as_json:
        typer.echo(orjson.dumps(told).decode())
    else:
        typer.echo(f"{told['name']} {'rests' if paused else 'runs again'}")


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


def _document(schedule: Schedule) -> dict[str, Any]:
    """Return what is shown of a schedule; never its payload."""
    names = ("id", "name", "kind", "platform", "cron", "interval_seconds", "time_zone", "paused")
    told = {name: getattr(schedule, name) for name in names}
    return told | {"next_run": None if schedule.paused else schedule.next_nominal}


def _table(title: str, rows: Sequence[dict[str, Any]]) -> Table:
    table = list_table(title, ("name", "kind", "when", "next (UTC)"))
    for row in rows:
        whose = " (platform)" if row["platform"] else ""
        following = "paused" if row["paused"] else words.moment(row["next_run"]) or "never again"
        name = with_note(escape(row["name"]) + whose, str(row["id"]))
        table.add_row(name, row["kind"], _when(row), following)
    return table


def _when(row: dict[str, Any]) -> str:
    every = row["interval_seconds"]
    return f"every {words.span(every)}" if every else f"{row['cron']} {row['time_zone']}"


def _runs(runs: Sequence[dict[str, Any]]) -> Table:
    table = list_table("What became of its last moments", ("moment (UTC)", "state", "why", "job"))
    for run in runs:
        moment: datetime = run["nominal_time"]
        table.add_row(words.moment(moment), run["state"], run["reason"] or "", str(run["job_id"] or ""))
    return table
