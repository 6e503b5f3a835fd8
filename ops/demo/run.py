"""Run the demo from an empty folder to the written report."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from config.settings import ROOT, Settings
from models.session import Database, open_database
from ops.demo import checks, data, measure, scenario
from ops.demo.cast import BUSY, FLOODER, SMALL
from ops.demo.client import Participant
from ops.demo.report import Report, show, summarize
from ops.demo.watch import Watch
from ops.error import OperatorError
from ops.stack import VAR, Stack, given_environment
from ops.supervisor import Supervisor
from ops.system import System

DIRECTORY = VAR / "demo"
REPORT = VAR / "demo-report.json"
READY_WITHIN = timedelta(seconds=90)
WORKERS = 4
PIPED_WIDTH = 140
"""Columns of the tables when nobody's terminal says."""
SMALL_COME_AFTER = 0.1
"""Part of the flood that is done when the small tenants come."""
BENCHMARK = ROOT / "benchmarks" / "noisy_neighbour.py"


class BenchmarkFailedError(OperatorError):
    """The comparison with stock Celery did not run; carries the end of what it printed."""

    def __init__(self, output: str) -> None:
        super().__init__(f"{BENCHMARK.name} failed:\n{output[-2_000:]}")


def main() -> int:
    """Run the demo and return its exit code: 0 if every check holds."""
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    begun = time.monotonic()
    report = Report(
        sources={
            "leads": data.leads_source(),
            "events": data.events_source(),
            "posts": "a stand-in for the platforms",
        }
    )
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    with Stack(DIRECTORY, environ={"GENIUS_METRICS_AFTER": "0"} | given_environment()) as stack:
        console.print("[bold]1[/] Postgres and Redis are up; making roles, tables and policies")
        stack.migrate()
        _play(stack, report, console)
        console.print("[bold]5[/] The same flood once more, on stock Celery and on the fair share")
        report.noisy_neighbour = _compare_with_stock(stack)
    report.checks.append(checks.small_tenants_wait_less(report.noisy_neighbour))
    report.seconds = round(time.monotonic() - begun, 1)
    REPORT.write_text(json.dumps(report.document(), indent=2, default=str))
    show(report, console)
    verdict = "[green]Every check holds[/]" if report.holds else "[bold red]A check fails[/]"
    console.print(f"{verdict} after {report.seconds:.0f} s; the report is {REPORT}")
    return 0 if report.holds else 1


@dataclass(frozen=True, slots=True)
class Stage:
    """What the demo plays on."""

    settings: Settings
    database: Database
    system: System
    stand_in: httpx.Client
    console: Console


def _play(stack: Stack, report: Report, console: Console) -> None:
    system = System(stack.environment(), DIRECTORY / "log")
    database = open_database(stack.settings(), pool_size=4)
    services = Supervisor([system.stand_in(), system.intake(), system.beat()], say=console.print)
    with _running(services), httpx.Client(base_url=system.stand_in_url) as stand_in:
        stage = Stage(stack.settings(), database, system, stand_in, console)
        busy, small = _join(stage)
        _work(stage, busy, small)
        _find_out(stage, busy, small, report)
    database.engine.dispose()


@contextmanager
def _running(supervisor: Supervisor) -> Iterator[None]:
    try:
        supervisor.start(READY_WITHIN)
        yield
    finally:
        supervisor.stop()


def _join(stage: Stage) -> tuple[list[Participant], list[Participant]]:
    """Create the organizations, and let them send what their jobs will work on."""
    busy, small = (
        [
            scenario.join(
                member,
                database=stage.database,
                settings=stage.settings,
                intake_url=stage.system.intake_url,
            )
            for member in members
        ]
        for members in (BUSY, SMALL)
    )
    stage.console.print(
        f"[bold]2[/] {len(busy + small)} organizations on three plans send leads "
        f"({data.leads_source()}), web events ({data.events_source()}) and posts"
    )
    leads, events = data.leads(), data.events(datetime.now(UTC))
    for who in (*busy, *small):
        scenario.import_leads(who, leads)
        if who.member.events:
            scenario.send_events(who, events)
        scenario.schedule_posts(who, stage.stand_in)
    return busy, small


def _work(stage: Stage, busy: Sequence[Participant], small: Sequence[Participant]) -> None:
    """Queue the flood, then open the worker slots; the small tenants come in its middle."""
    stage.console.print(f"[bold]3[/] {FLOODER} floods the queue; then {WORKERS} worker slots open")
    for who in busy:
        scenario.queue_work(who)
    workers = Supervisor([stage.system.worker(concurrency=WORKERS)], say=stage.console.print)
    with _running(workers), Watch(stage.database, stage.console) as watch:
        watch.add(busy)
        watch.until_ended(SMALL_COME_AFTER)
        for who in small:
            scenario.queue_work(who)
        watch.add(small)
        watch.until_ended()
        for who in (*busy, *small):
            scenario.settle_accounts(who)
        watch.until_ended()


def _find_out(
    stage: Stage, busy: Sequence[Participant], small: Sequence[Participant], report: Report
) -> None:
    """Read what came of it into *report*."""
    stage.console.print("[bold]4[/] Every job has ended; reading the record")
    database, everybody = stage.database, [*busy, *small]
    histories = [(who, measure.runs(database, who)) for who in everybody]
    scorings = [(who, measure.scoring(database, who)) for who in everybody]
    report.shares = measure.shares(histories[: len(busy)], "scoring")
    for who, history in histories:
        report.jobs += summarize(who.member.name, who.member.plan, history)
    for who, scoring in scorings[: len(busy)]:
        report.leads += [{"organization": who.member.name} | lead for lead in scoring.top]
    for who in busy:
        _read_families(stage, who, report)
    report.checks = [
        checks.every_job_succeeded(histories),
        checks.nothing_left_over(database, everybody),
        checks.ledgers_agree(database, everybody),
        checks.shares_follow_weights(report.shares),
        checks.leads_scored([scoring for _, scoring in scorings]),
        checks.events_rolled_up(database, everybody),
        checks.posted_once(database, stage.stand_in, everybody),
        checks.tenants_are_apart(database, everybody),
    ]


def _read_families(stage: Stage, who: Participant, report: Report) -> None:
    named = {"organization": who.member.name}
    report.rollup += [named | row for row in who.get("/analytics/rollup", grain="day")["items"]]
    report.posts += [
        named
        | {
            "platform": row.platform,
            "state": row.state,
            "text": row.body,
            "remote_id": row.remote_id,
            "remote_url": row.remote_url,
        }
        for row in measure.posts(stage.database, who)
    ]
    report.quota += [named | asdict(quota) for quota in measure.quotas(stage.database, who)]


def _compare_with_stock(stack: Stack) -> Any:
    """Run the benchmark of a flood, quickly, on the demo's Redis."""
    output = DIRECTORY / "noisy-neighbour.json"
    command = [
        sys.executable,
        str(BENCHMARK),
        "--quick",
        "--redis-url",
        stack.redis_url,
        "--json",
        str(output),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our own file
    if done.returncode:
        raise BenchmarkFailedError(done.stdout + done.stderr)
    return json.loads(Path(output).read_text())
