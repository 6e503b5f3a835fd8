"""`genius capacity`: what a load needs."""

from dataclasses import asdict
from typing import Annotated

import orjson
import typer
from rich.table import Table

from ops.capacity.need import Load, Need, need
from ops.capacity.trial import Trial, try_slots
from ops.commands.console import table_console
from ops.simulation.scratch import own_redis

GB = 1e9


def capacity(  # noqa: PLR0913 - one parameter per option
    *,
    tenants: Annotated[int, typer.Option(min=1, help="Organizations.")],
    jobs_per_second: Annotated[float, typer.Option(min=0.01, help="At the peak.")],
    job_seconds: Annotated[float, typer.Option(min=0.0001, help="How long a job holds its slot.")],
    cpu_seconds: Annotated[
        float | None, typer.Option(min=0, help="Processor time of it; all of it when left out.")
    ] = None,
    brief: Annotated[bool, typer.Option("--brief", help="Kinds that share transactions.")] = False,
    backlog_hours: Annotated[float, typer.Option(min=0, help="That may pile up at worst.")] = 1,
    days: Annotated[int, typer.Option(min=1, help="Finished jobs are kept.")] = 90,
    simulate: Annotated[bool, typer.Option("--simulate", help="Try the slots on a replay.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compute what a load needs, from what was measured (docs/capacity.md)."""
    load = Load(
        tenants=tenants,
        jobs_per_second=jobs_per_second,
        job_seconds=job_seconds,
        cpu_seconds=job_seconds if cpu_seconds is None else cpu_seconds,
        brief=brief,
        backlog_seconds=backlog_hours * 3_600,
        days_kept=days,
    )
    wanted = need(load)
    trial = _try(load, wanted) if simulate else None
    if as_json:
        told = {"load": asdict(load), "need": asdict(wanted), "trial": trial and asdict(trial)}
        typer.echo(orjson.dumps(told).decode())
    else:
        table_console().print(_table(wanted, trial))


def _try(load: Load, wanted: Need) -> Trial:
    with own_redis() as scratch:
        return try_slots(scratch, load, wanted.slots)


def _table(wanted: Need, trial: Trial | None) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2))
    rows = {
        "slots": f"{wanted.slots:,} ({wanted.busy_slots:,.1f} busy)",
        "cores of workers": f"{wanted.worker_cores:,}",
        "Redis": f"{wanted.redis_servers:,} servers of one core, {wanted.redis_bytes / GB:,.1f} GB in all",
        "Postgres": f"{wanted.postgres_cores:,} cores",
        "connections": f"{wanted.connections:,}" + (", through a pooler" if wanted.pooler else ""),
        "history": f"{wanted.history_bytes / GB:,.0f} GB",
        "beats": str(wanted.beats),
        "cells": str(wanted.cells),
    }
    if trial:
        rows["tried"] = (
            f"{trial.jobs:,} jobs on {trial.slots:,} slots ({trial.scale:.1%} of the load): "
            f"{trial.busy_slots:,.1f} busy, waits p50 {trial.wait_p50_s * 1000:,.0f} ms, "
            f"p99 of the worst-served {trial.wait_p99_s * 1000:,.0f} ms"
        )
    for name, value in rows.items():
        table.add_row(f"[bold]{name}[/]", value)
    return table
