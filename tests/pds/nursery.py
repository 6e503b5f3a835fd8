"""Run attempts of jobs, each in a process of its own that is killed at a given point.

``python -m tests.pds.nursery`` reads a line of JSON for each attempt and answers how its process ended. It
has imported everything, so that a process is a fork away; an attempt does what a worker does with a message.
"""

import json
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import httpx
from sqlalchemy import select
from sqlalchemy.orm import Session, configure_mappers
from uuid_utils.compat import uuid7

from models.registry import load_tables
from models.session import get_database, tenant_session
from models.social import SocialAccount, SocialPost
from tasks.catalog import PUBLISH_POST
from tasks.social_posting import http, job
from tests.pds.point import Point
from worker.execution import execute

UPLOAD, PUBLISH = "com.atproto.repo.uploadBlob", "com.atproto.repo.putRecord"

real_send = httpx.Client.send
real_write_intent, real_write_published = job.write_intent, job.write_published


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class HalfABody(httpx.SyncByteStream):
    """Sends half of the request's body, and dies."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        yield self._body[: len(self._body) // 2]
        die()


def arm(point: Point) -> None:
    """Let this process die, or lose its answer, at *point*."""
    match point:
        case Point.NONE:
            return
        case Point.BEFORE_INTENT:
            job.write_intent = lambda *_: die()  # type: ignore[attr-defined]
        case Point.AFTER_INTENT:
            job._Attempt._publish = lambda *_: die()  # type: ignore[attr-defined] # noqa: SLF001 - the step after it
        case Point.BEFORE_LOCAL_COMMIT:
            job.write_published = write_published_and_die  # type: ignore[attr-defined]
        case Point.DURING_UPLOAD | Point.AFTER_REMOTE_COMMIT | Point.ANSWER_LOST:
            httpx.Client.send = sending(point)  # type: ignore[method-assign]


def write_published_and_die(session: Session, *rest: Any) -> None:
    """Die with the outcome written and not committed."""
    real_write_published(session, *rest)
    session.flush()
    die()


def sending(point: Point) -> Any:
    def send(self: httpx.Client, request: httpx.Request, **details: Any) -> httpx.Response:
        if point is Point.DURING_UPLOAD and UPLOAD in request.url.path:
            request.stream = HalfABody(request.read())
        response = real_send(self, request, **details)
        if PUBLISH in request.url.path:
            if point is Point.AFTER_REMOTE_COMMIT:
                die()
            if point is Point.ANSWER_LOST:
                response.close()
                raise httpx.ReadError("the connection is lost")
        return response

    return send


def attempt(arguments: list[Any], point: Point) -> int:
    """Run one attempt in a process of its own; returns its exit code, negative for a signal."""
    child = os.fork()
    if child == 0:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # its log is no answer
        arm(point)
        execute(PUBLISH_POST, job.publish, tuple(arguments), tenant=arguments[0])
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def warm_up() -> None:
    """Do once what every process would do first; connections are each process's own."""
    load_tables()
    configure_mappers()
    http.client()
    with tenant_session(get_database(), uuid7()) as session:
        for table in (SocialPost, SocialAccount):
            session.scalars(select(table).with_for_update()).all()


def main() -> None:
    """Answer line by line."""
    warm_up()
    for line in sys.stdin:
        order = json.loads(line)
        sys.stdout.write(f"{attempt(order['arguments'], Point(order['point']))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
