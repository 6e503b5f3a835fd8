"""`genius up`: the whole system on this machine, until told to stop."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from config.settings import STACK_ENVIRONMENT
from ops.error import OperatorError
from ops.port import free_port, is_free
from ops.stack import VAR, Stack, given_environment
from ops.stack_secrets import write_variables
from ops.supervisor import Supervisor
from ops.system import System

USUAL_PORT = 8000
READY_WITHIN = timedelta(seconds=90)
LOOK_EVERY_SECONDS = 0.5
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class PortTakenError(OperatorError):
    """Somebody listens on the port asked for; carries it."""

    def __init__(self, port: int) -> None:
        super().__init__(f"Port {port} is taken. Choose another with --port, or leave it out.")
        self.port = port


class StopRequested(BaseException):
    """Told to stop; unwinds whatever is under way, as KeyboardInterrupt does."""


def up(
    port: Annotated[
        int | None, typer.Option(help=f"Port of the intake; {USUAL_PORT} or a free one when left out.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line once ready.")] = False,  # noqa: FBT002 - an option
    directory: Annotated[Path, typer.Option(help="Where data, logs and secrets go.")] = VAR,
    workers: Annotated[int, typer.Option(min=1, help="Jobs that run at the same time.")] = 4,
) -> None:
    """Start Postgres, Redis, intake, worker, beat and Flower; stay until Ctrl-C."""
    environ = given_environment()
    intake_port = _intake_port(port)
    try:
        with (
            _stopping_on_signals(),
            Stack(
                directory / "stack", durable=True, secrets_file=directory / "secrets.env", environ=environ
            ) as stack,
        ):
            stack.migrate()
            system = System(stack.environment(), directory / "log", intake_port)
            _run(stack, system, directory / STACK_ENVIRONMENT.name, as_json=as_json, workers=workers)
    except StopRequested:
        return


def _intake_port(asked: int | None) -> int:
    if asked is None:
        return USUAL_PORT if is_free(USUAL_PORT) else free_port()
    if not is_free(asked):
        raise PortTakenError(asked)
    return asked


@contextmanager
def _stopping_on_signals() -> Iterator[None]:
    """Raise StopRequested at the first signal to stop, and ignore the following ones: we stop already."""

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a handler
        for each in STOP_SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise StopRequested

    for each in STOP_SIGNALS:
        signal.signal(each, stop)
    yield


def _run(stack: Stack, system: System, environment_file: Path, *, as_json: bool, workers: int) -> None:
    supervisor = Supervisor(system.everything(concurrency=workers), say=_say)
    try:
        supervisor.start(READY_WITHIN)
        written = {**system.environment, "GENIUS_STAND_IN_URL": system.stand_in_url}
        write_variables(environment_file, written)
        addresses = {**_addresses(system), "environment_file": str(environment_file)}
        _announce(addresses, as_json=as_json)
        while True:
            time.sleep(LOOK_EVERY_SECONDS)
            stack.revive(_say)
            supervisor.watch()
    finally:
        environment_file.unlink(missing_ok=True)
        supervisor.stop()


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _addresses(system: System) -> dict[str, str | None]:
    return {
        "intake_url": system.intake_url,
        "flower_url": system.flower_sign_in_url,
        "database_url": system.environment["GENIUS_DATABASE_URL"],
        "owner_database_url": system.environment.get("GENIUS_OWNER_DATABASE_URL"),
        "relay_database_url": system.environment.get("GENIUS_RELAY_DATABASE_URL"),
        "redis_url": system.environment["GENIUS_REDIS_URL"],
        "stand_in_url": system.stand_in_url,
        "logs": str(system.logs),
    }


def _announce(addresses: Mapping[str, str | None], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({**addresses, "pid": os.getpid()}), flush=True)
        return
    rows = Table.grid(padding=(0, 2))
    for name in ("intake_url", "flower_url", "stand_in_url", "logs", "environment_file"):
        rows.add_row(f"[bold]{name.removesuffix('_url').replace('_', ' ')}[/]", addresses[name])
    hint = "[dim]In another shell: .venv/bin/genius org create --name Acme --plan starter[/]"
    rows.add_row("", hint)
    Console().print(Panel(rows, title="Marketing Genius is up", subtitle="Ctrl-C stops it", expand=False))
