"""Run chaos: ``make chaos``, or ``python -m tests.chaos --jobs 20000 --minutes 5 --seed 1``."""

import os
from datetime import timedelta
from typing import Annotated

import typer
from rich.console import Console

from config.settings import get_settings
from ops.stack import Stack
from tests.chaos.run import Profile, run
from tests.chaos.show import show
from tests.support.workspace import workspace

GAP_S = 1.5


def main(
    jobs: Annotated[int, typer.Option(help="How many jobs, of all tenants together.")] = 20_000,
    minutes: Annotated[float, typer.Option(help="For how long things break.")] = 5.0,
    seed: Annotated[int, typer.Option(help="Chooses jobs and faults.")] = 1,
) -> None:
    """Break everything that can break while jobs run; exit with 1 if anything was lost or done twice."""
    console = Console()
    profile = Profile(jobs=jobs, lasting=timedelta(minutes=minutes), seed=seed, gap_s=GAP_S)
    with workspace("chaos") as directory, Stack(directory / "stack", environ=_without_settings()) as stack:
        stack.migrate()
        environment = stack.environment()
        os.environ.update(environment)
        get_settings.cache_clear()
        report = run(profile, stack, environment, directory, say=console.log)
    show(report, console)
    raise typer.Exit(1 if report.findings else 0)


def _without_settings() -> dict[str, str]:
    given = {name: value for name, value in os.environ.items() if not name.startswith("GENIUS_")}
    return {**given, "GENIUS_ENVIRONMENT": "test"}


typer.run(main)
