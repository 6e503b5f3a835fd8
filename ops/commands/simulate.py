"""`genius simulate`: what other weights and caps would have done."""

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.table import Table

from models.organization import PlanName
from models.session import RelayNotConfiguredError, open_relay_database
from ops.commands.console import table_console
from ops.configuration import database_in_force, settings_in_force
from ops.error import OperatorError
from ops.simulation.history import recorded_workload
from ops.simulation.outcome import Outcome, Simulation, simulate
from ops.simulation.scratch import own_redis, shared_redis
from ops.simulation.setting import apply, read_setting
from ops.simulation.workload import Workload, read_workload

HEADINGS = ("organization", "terms", "weight", "cap", "jobs", "wait p50", "p99", "max", "got", "entitled")


def simulate_workload(  # noqa: PLR0913 - one parameter per option
    workload: Annotated[
        Path | None,
        typer.Argument(help="JSON lines; without it, the last hours of real jobs.", show_default=False),
    ] = None,
    *,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Terms to try: ORG.weight=5, ORG.cap=2, ORG.soft_cap=none, ORG.plan=P."),
    ] = None,
    slots: Annotated[int, typer.Option(min=1, max=10_000, help="Jobs that run at the same time.")] = 8,
    hours: Annotated[float, typer.Option(min=0.01, help="How far back real jobs go.")] = 4,
    plan: Annotated[
        PlanName, typer.Option(help="Of organizations whose lines name none.")
    ] = PlanName.STARTER,
    on_redis: Annotated[
        bool, typer.Option("--on-redis", help="On the configured Redis, under a prefix of its own.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Replay a workload through the real queue on a clock that jumps, before and after a change of terms."""
    changes = [read_setting(text) for text in settings or ()]
    jobs = read_workload(workload, plan=plan) if workload else _recorded(timedelta(hours=hours))
    others = apply(jobs.terms, changes) if changes else None
    with shared_redis(str(settings_in_force().redis_url)) if on_redis else own_redis() as scratch:
        seen = simulate(scratch, jobs, others, slots=slots)
    if as_json:
        typer.echo(orjson.dumps(seen.document()).decode())
    else:
        table_console().print(_table(seen))


def _recorded(span: timedelta) -> Workload:
    with ExitStack() as exits:
        database = exits.enter_context(database_in_force())
        try:
            relay = open_relay_database(settings_in_force(), pool_size=1)
        except RelayNotConfiguredError as error:
            raise OperatorError(f"To list the organizations, {error}.") from None
        exits.callback(relay.engine.dispose)
        return recorded_workload(relay, database, datetime.now(UTC) - span)


def _table(seen: Simulation) -> Table:
    lasted = ", ".join(f"{label} {seconds:,.1f} s" for label, seconds in seen.lasted_s.items())
    table = Table(
        title=f"{seen.jobs:,} jobs on {seen.slots} slots; until the last one ended: {lasted}",
        caption="Got and entitled: part of all slots, while the organization had jobs waiting or running.",
    )
    for heading in HEADINGS:
        table.add_column(
            heading, no_wrap=True, justify="left" if heading in {"organization", "terms"} else "right"
        )
    for name, outcomes in seen.organizations.items():
        for label, outcome in outcomes.items():
            table.add_row(name if label == "before" else "", label, *_cells(outcome))
        table.add_section()
    return table


def _cells(outcome: Outcome) -> tuple[str, ...]:
    soft_cap = "any" if outcome.soft_cap is None else str(outcome.soft_cap)
    left = f" ({outcome.never_ran:,} never)" if outcome.never_ran else ""
    waits = (outcome.wait_p50_s, outcome.wait_p99_s, outcome.wait_max_s)
    return (
        str(outcome.weight),
        f"{outcome.cap}-{soft_cap}",
        f"{outcome.jobs:,}{left}",
        *(f"{wait:,.3f} s" for wait in waits),
        f"{outcome.got_share:.1%}",
        f"{outcome.entitled_share:.1%}",
    )
