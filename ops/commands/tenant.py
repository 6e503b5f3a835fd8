"""`genius tenant`: see and change what an organization may use, live."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated
from uuid import UUID

import orjson
import typer

from config.celery import LANES
from models.organization import OrganizationStatus, PlanName
from ops.commands.console import table_console
from ops.commands.token import OrganizationUnknownError, find_tenant
from ops.commands.who import operator
from ops.configuration import database_in_force, settings_in_force
from ops.tenant_view import view
from tasks.catalog import CATALOG
from worker.publish import BrokerAwayError, Publisher
from worker.terms import (
    Change,
    Changed,
    OrganizationNotFoundError,
    change_organization,
    override,
    put_on_plan,
    set_pause,
    set_status,
)

AWAY = (
    "It is recorded, but Redis is away: the queue goes on as before. The relay brings the change once Redis "
    "has restarted, or else within a quarter of an hour in which the organization has jobs waiting. Running "
    "the command again when Redis is back brings it at once."
)
QUEUE_TERMS = frozenset({"weight", "cap", "soft_cap", "max_backlog"})

app = typer.Typer(no_args_is_help=True, help="See and change what an organization may use, live.")

Org = Annotated[UUID, typer.Option("--org", help="Id of the organization.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Kind = Annotated[str | None, typer.Option("--kind", help="Only its jobs of this kind.", show_default=False)]


@app.command()
def show(org: Org, *, as_json: AsJson = False) -> None:
    """Show plan and terms, and where the organization stands in each lane."""
    with database_in_force() as database:
        tenant = find_tenant(database, org)
    try:
        lanes = Publisher(settings_in_force()).standings(org, LANES)
    except BrokerAwayError:
        lanes = None
    seen = view(tenant, lanes)
    if as_json:
        typer.echo(orjson.dumps(seen.document(), default=sorted).decode())
    else:
        table_console().print(seen.rendered())


@app.command()
def plan(
    org: Org,
    to: Annotated[PlanName, typer.Option("--plan", help="The plan it has from now on.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Put an organization on another plan; what waits already is served by it at once."""
    _change(org, put_on_plan(to.value), as_json=as_json)


@app.command(name="override")
def override_terms(  # noqa: PLR0913 - one option per term
    org: Org,
    *,
    weight: Annotated[int | None, typer.Option(min=1, max=1_000, help="Share of worker time.")] = None,
    cap: Annotated[int | None, typer.Option(min=1, max=10_000, help="In flight while others wait.")] = None,
    soft_cap: Annotated[
        int | None, typer.Option(min=0, max=10_000, help="In flight when slots are idle; 0 is no limit.")
    ] = None,
    max_backlog: Annotated[int | None, typer.Option(min=1, help="Jobs waiting per lane.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="First drop what it has of these.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give an organization other terms in the queue than its plan's; pauses stay."""
    given = {"weight": weight, "cap": cap, "soft_cap": soft_cap, "max_backlog": max_backlog}
    values = {name: value or None for name, value in given.items() if value is not None}
    if not values and not clear:
        raise typer.BadParameter("name at least one term, or --clear")
    _change(org, override(values, without=QUEUE_TERMS if clear else frozenset()), as_json=as_json)


@app.command()
def weight(
    org: Org,
    to: Annotated[
        int | None,
        typer.Argument(min=1, max=1_000, help="Its share of worker time; its plan's when left out."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Give an organization another weight, on the backlog it has; without a number that of its plan."""
    values = {} if to is None else {"weight": to}
    _change(org, override(values, without=frozenset({"weight"})), as_json=as_json)


@app.command()
def pause(org: Org, *, kind: Kind = None, as_json: AsJson = False) -> None:
    """Let none of an organization's jobs begin, or none of one kind; those that run go on."""
    _change(org, set_pause(_known(kind), paused=True), as_json=as_json)


@app.command()
def resume(org: Org, *, kind: Kind = None, as_json: AsJson = False) -> None:
    """Take back a pause: that of the organization or, with --kind, that of one kind."""
    _change(org, set_pause(_known(kind), paused=False), as_json=as_json)


@app.command()
def suspend(org: Org, *, as_json: AsJson = False) -> None:
    """Refuse an organization's requests and keep its backlog where it is."""
    _change(org, set_status(OrganizationStatus.SUSPENDED), as_json=as_json)


@app.command()
def activate(org: Org, *, as_json: AsJson = False) -> None:
    """Serve an organization again, its backlog first."""
    _change(org, set_status(OrganizationStatus.ACTIVE), as_json=as_json)


def _change(organization_id: UUID, change: Change, *, as_json: bool) -> None:
    with database_in_force() as database, _reporting():
        publisher = Publisher(settings_in_force())
        changed = change_organization(database, publisher, organization_id, change, actor=operator())
    if as_json:
        typer.echo(orjson.dumps(asdict(changed)).decode())
    else:
        typer.echo(_sentence(changed))
    if not changed.reached_queue:
        typer.secho(AWAY, err=True, fg=typer.colors.YELLOW)


@contextmanager
def _reporting() -> Iterator[None]:
    try:
        yield
    except OrganizationNotFoundError as error:
        raise OrganizationUnknownError(error.organization_id) from None


def _sentence(changed: Changed) -> str:
    own = ", ".join(f"{name} {value}" for name, value in sorted(changed.overrides.items()))
    return f"{changed.name}: {changed.status}, plan {changed.plan}" + (f", with {own}" if own else "")


def _known(kind: str | None) -> str | None:
    if kind is not None and kind not in CATALOG:
        raise typer.BadParameter(f"no such kind: {kind}; there are {', '.join(sorted(CATALOG))}")
    return kind
