"""The `genius` command."""

from typing import Any

import psycopg
import typer
from sqlalchemy.exc import DBAPIError, ProgrammingError
from typer.core import TyperGroup

from ops.commands import (
    audit,
    audit_isolation,
    backup,
    capacity,
    credentials,
    deadletters,
    demo,
    doctor,
    jobs,
    migrate,
    org,
    schedules,
    simulate,
    tenant,
    token,
    top,
    up,
)
from ops.error import OperatorError

UNREACHABLE = "Postgres does not answer as configured: {reason}\nRun `genius doctor` to see what is wrong."
NO_SCHEMA = "The database is not at the newest revision: {reason}\nRun `genius migrate`."


class ReportingGroup(TyperGroup):
    """Shows what an operator can mend as one message, and exits with 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except OperatorError as error:
            message = str(error)
        except (ProgrammingError, psycopg.ProgrammingError) as error:
            message = NO_SCHEMA.format(reason=_first_line(error))
        except (DBAPIError, psycopg.Error) as error:
            message = UNREACHABLE.format(reason=_first_line(error))
        typer.secho(f"Error: {message}", err=True, fg=typer.colors.RED)
        raise typer.Exit(1)


def _first_line(error: DBAPIError | psycopg.Error) -> str:
    said = error.orig if isinstance(error, DBAPIError) else error
    return str(said).strip().partition("\n")[0]


app = typer.Typer(
    name="genius",
    cls=ReportingGroup,
    no_args_is_help=True,
    add_completion=False,
    help="Run and look after Marketing Genius.",
    pretty_exceptions_show_locals=False,
)
app.command()(up.up)
app.command()(demo.demo)
app.command()(migrate.migrate)
app.command()(backup.backup)
app.command()(backup.restore)
app.command()(capacity.capacity)
app.add_typer(org.app, name="org")
app.add_typer(tenant.app, name="tenant")
app.add_typer(audit.app, name="audit")
app.add_typer(credentials.app, name="credentials")
app.add_typer(schedules.app, name="schedules")
app.add_typer(token.app, name="token")
app.add_typer(jobs.app, name="jobs")
app.add_typer(deadletters.app, name="deadletters")
app.command()(top.top)
app.command()(doctor.doctor)
app.command()(audit_isolation.audit_isolation)
app.command(name="simulate")(simulate.simulate_workload)
