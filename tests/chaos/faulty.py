"""Run a module of ours in which laid faults strike: ``python -m tests.chaos.faulty FOLDER MODULE ...``.

Production code knows nothing of it: the drivers of Postgres, Redis and HTTP are wrapped, and what passes
through them tells which act it is. The process is forked from one that has imported everything, so that one
which was killed is back at once.
"""

import importlib
import os
import re
import runpy
import signal
import sys
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import httpx
import psycopg
import redis
from psycopg.types.json import Jsonb
from redis.connection import AbstractConnection

from tests.chaos.arm import STOPPED_S, Mode, Moment, laid, take
from worker import gather
from worker.fairshare.qos import QoS
from worker.fairshare.script import load

STATEMENTS = {
    re.compile(pattern): act
    for pattern, act in (
        (r"\bsubmit_jobs", "submit"),
        (r"\bmark_published", "mark published"),
        (r"\bclaim_job", "claim"),
        (r"\bcomplete_(held_)?jobs", "complete"),
        (r"\bhold_jobs", "hold"),
        (r"\bfail_job", "fail"),
        (r"\brenew_leases", "renew"),
        (r"\brequeue_lapsed", "requeue"),
        (r"\bfire_schedules", "fire"),
        (r"^DELETE FROM outbox", "empty outbox"),
        (r"^UPDATE app.relay_state", "note generation"),
        (r"^INSERT INTO campaigns", "effect"),
        (r"^UPDATE social_posts", "post"),
    )
}
COMMANDS = {load("enqueue").sha.encode(): "publish", b'"ack"': "acknowledge"}
"""What a command to Redis contains: the script that publishes, or how a lease ends."""
PRELOADED = {
    "celery": (
        *("celery.bin.celery", "celery.beat", "worker.app", "worker.scheduler", "tests.support.kinds"),
        *(
            "tasks.social_posting.job",
            "tasks.lead_scoring",
            "tasks.reporting",
            "tasks.alerting",
            "tasks.recurring",
        ),
    ),
    "uvicorn": ("uvicorn", "tests.chaos.intake"),
}
"""What each program imports anyway."""

POST_STATES = ("publishing", "published")


class Faults:
    """Strikes where a fault was laid."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def at(self, act: str, moment: Moment, said: str, *, lose: Callable[[], NoReturn]) -> None:
        """Die or lose the connection here, if that was laid for this act."""
        for path, arm in laid(self._folder):
            if arm.matches(act, moment, said) and take(path):
                match arm.mode:
                    case Mode.KILLED:
                        os.kill(os.getpid(), signal.SIGKILL)
                    case Mode.STOPPED:
                        stand_still()
                    case Mode.DISCONNECTED:
                        lose()


def stand_still() -> None:
    """Stop this process; another lets it go on."""
    go_on = ["sh", "-c", f"sleep {STOPPED_S}; kill -CONT {os.getpid()}"]
    os.posix_spawn("/bin/sh", go_on, os.environ)
    os.kill(os.getpid(), signal.SIGSTOP)


def wrap_postgres(faults: Faults) -> None:
    """Let faults strike around statements and commits."""
    execute: Any = psycopg.Cursor.execute
    commit: Any = psycopg.Connection.commit
    open_acts: weakref.WeakKeyDictionary[Any, list[tuple[str, str]]] = weakref.WeakKeyDictionary()

    def faulty_execute(self: Any, query: Any, params: Any = None, **options: Any) -> Any:
        if str(query).startswith("COMMIT"):  # which may look at the connection in the same breath
            return around_commit(self.connection, partial(execute, self, query, params, **options))
        act = act_of(query, params)
        if act is None:
            return execute(self, query, params, **options)
        said = said_of(params)
        faults.at(act, Moment.BEFORE, said, lose=lambda: lose_postgres(self.connection))
        with answered(self.connection):
            result = execute(self, query, params, **options)
        if self.connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS:
            open_acts.setdefault(self.connection, []).append((act, said))
        else:
            faults.at(act, Moment.AFTER, said, lose=lambda: lose_postgres(self.connection))
        return result

    def around_commit(connection: Any, run: Callable[[], Any]) -> Any:
        acts = open_acts.pop(connection, [])
        for act, said in acts:
            faults.at(act, Moment.BEFORE_COMMIT, said, lose=lambda: lose_postgres(connection))
        with answered(connection) if acts else nullcontext():
            result = run()
        for act, said in acts:
            faults.at(act, Moment.AFTER, said, lose=lambda: lose_postgres(connection))
        return result

    def faulty_commit(self: Any) -> None:
        around_commit(self, partial(commit, self))

    psycopg.Cursor.execute = faulty_execute  # type: ignore[method-assign]
    psycopg.Connection.commit = faulty_commit  # type: ignore[method-assign]


def answered(connection: Any) -> AbstractContextManager[Any]:
    """Wait for what is sent within, if the connection is one that does not wait."""
    is_in_pipeline = connection.pgconn.pipeline_status != psycopg.pq.PipelineStatus.OFF
    return connection.pipeline() if is_in_pipeline else nullcontext()


def act_of(query: Any, params: Any) -> str | None:
    """Name the act that a statement is; None is one without faults."""
    said = query.as_string(None) if isinstance(query, psycopg.sql.Composable) else str(query)
    act = next((act for pattern, act in STATEMENTS.items() if pattern.search(said)), None)
    if act == "post":
        # The intent and the outcome are the same statement: what it writes tells them apart.
        values = params.values() if isinstance(params, dict) else params
        return next((f"write {state}" for state in POST_STATES if state in values), None)
    return act


def said_of(params: Any) -> str:
    """Spell what a statement is run with."""
    values = params.values() if isinstance(params, dict) else params or ()
    return repr([value.obj if isinstance(value, Jsonb) else value for value in values])


def lose_postgres(connection: Any) -> NoReturn:
    connection.close()
    raise psycopg.OperationalError("the connection is lost")


def wrap_redis(faults: Faults) -> None:
    """Let faults strike around the scripts that publish and acknowledge."""
    send: Any = AbstractConnection.send_packed_command
    append: Any = QoS.append
    ack: Any = QoS.ack
    jobs: dict[str, str] = {}
    """Delivery tag to the message that is acknowledged by it: that is what a fault is laid for."""

    def faulty_send(self: Any, command: Any, *rest: Any, **options: Any) -> Any:
        packed = command if isinstance(command, bytes) else b"".join(command)
        acts = [act for mark, act in COMMANDS.items() if mark in packed]
        if not acts:
            return send(self, command, *rest, **options)
        said = packed.decode(errors="replace")
        # Two lanes may have given the same token: then either may be meant.
        said += "".join(job for tag, job in list(jobs.items()) if f'"{token_of(tag)}"' in said)
        for act in acts:
            faults.at(act, Moment.BEFORE, said, lose=lambda: lose_redis(self))
        result = send(self, command, *rest, **options)
        for act in acts:
            faults.at(act, Moment.AFTER, said, lose=lambda: lose_redis(self))
        return result

    def noting_append(self: Any, message: Any, delivery_tag: str) -> None:
        jobs[delivery_tag] = str(message.headers["id"])
        append(self, message, delivery_tag)

    def faulty_ack(self: Any, delivery_tag: str, *rest: Any, **options: Any) -> None:
        faults.at("note acknowledgement", Moment.BEFORE, jobs[delivery_tag], lose=lose_nothing)
        ack(self, delivery_tag, *rest, **options)

    AbstractConnection.send_packed_command = faulty_send  # type: ignore[method-assign]
    QoS.append = noting_append
    QoS.ack = faulty_ack  # type: ignore[method-assign]


def token_of(delivery_tag: str) -> str:
    return delivery_tag.partition("@")[0]


def lose_redis(connection: Any) -> NoReturn:
    connection.disconnect()
    raise redis.ConnectionError("the connection is lost")


def lose_nothing() -> NoReturn:
    raise redis.ConnectionError("the connection is lost")


def wrap_http(faults: Faults) -> None:
    """Let faults strike around the call that publishes a post."""
    send = httpx.Client.send

    def faulty_send(self: Any, request: httpx.Request, **options: Any) -> httpx.Response:
        if request.method != "POST":
            return send(self, request, **options)
        said = request.read().decode()
        faults.at("call", Moment.BEFORE, said, lose=lose_http)
        response = send(self, request, **options)
        faults.at("call", Moment.AFTER, said, lose=lose_http)
        return response

    httpx.Client.send = faulty_send  # type: ignore[method-assign]


def lose_http() -> NoReturn:
    raise httpx.ReadError("the connection is lost")


def main(folder: str, module: str, *arguments: str) -> None:
    """Run *module* again and again until it ends without being killed."""
    for name in PRELOADED[module]:
        importlib.import_module(name)
    while True:
        child = os.fork()
        if child == 0:
            run(Path(folder), module, arguments)
        signal.signal(signal.SIGTERM, lambda *_, child=child: os.kill(child, signal.SIGTERM))
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            sys.exit(os.waitstatus_to_exitcode(status))


def run(folder: Path, module: str, arguments: tuple[str, ...]) -> None:
    """Be the process."""
    faults = Faults(folder)
    for wrap in (wrap_postgres, wrap_redis, wrap_http):
        wrap(faults)
    gather.MOST_IN_A_GROUP = (
        1  # so that each fault meets the job it was laid for: a broken group runs one by one
    )
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
