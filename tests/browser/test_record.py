"""What is done at Flower, or refused, is written down: who, what, to what, how it ended and when."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import flower.urls
import httpx
import pytest
from flower.api import BaseApiHandler
from tornado.web import RequestHandler

from ops.flower.record import EVENT
from ops.flower.setup import routes
from tests.browser.conftest import Floor, known_worker
from tests.support.flower import READER
from tests.support.service import Services
from tests.support.wait import wait_until

TASK = "analytics.rollup"
PAYLOAD = "nobody writes this down"
QUEUE = {"queue": "x"}

Order = tuple[str, str, dict[str, str], str]
"""Path, action, arguments, outcome."""
Lines = Callable[[int], list[dict[str, Any]]]


@pytest.fixture
def lines(floor: Floor) -> Lines:
    """Return what Flower has written down since the test began, as soon as there are so many lines."""
    log: Path = floor.flower.process.log
    with floor.flower.client() as client:
        client.get("/healthcheck")  # what came before is written down when this is answered
    start = log.stat().st_size

    def read() -> list[dict[str, Any]]:
        told = log.read_bytes()[start:].decode().splitlines()
        return [line for line in map(parsed, told) if line.get("event") == EVENT]

    def read_when(count: int) -> list[dict[str, Any]]:
        wait_until(lambda: len(read()) >= count, message=f"{count} lines")
        return read()

    return read_when


def parsed(line: str) -> dict[str, Any]:
    """Return a line's fields; none of one that is still being written or no JSON."""
    return dict(json.loads(line)) if line.startswith("{") and line.endswith("}") else {}


@pytest.fixture(scope="module")
def spare(floor: Floor, test_directory: Path) -> Iterator[str]:
    """Start a worker that nobody needs, and return its name."""
    with ExitStack() as exits:
        services = Services(test_directory / "spare", floor.flower.environment, exits)
        services.worker(queues=["quota"], concurrency=1, options=("-n", "spare@%h"))
        yield wait_until(lambda: known_worker(floor, "spare@"), 60)


def orders(worker: str, job: str) -> list[Order]:
    """Return all that Flower's buttons and its interface can do; the last ends the worker."""
    of_worker = {"workername": worker}
    terminate = {"terminate": "true", "signal": "SIGTERM"}
    return [
        (f"/api/worker/pool/grow/{worker}", "worker.pool.grow", {"n": "1"}, "done"),
        (f"/api/worker/pool/shrink/{worker}", "worker.pool.shrink", {"n": "1"}, "done"),
        (f"/api/worker/pool/restart/{worker}", "worker.pool.restart", {}, "failed"),
        (f"/api/worker/pool/autoscale/{worker}", "worker.pool.autoscale", {"min": "1", "max": "2"}, "failed"),
        (f"/api/worker/queue/add-consumer/{worker}", "worker.queue.add-consumer", QUEUE, "done"),
        (f"/api/worker/queue/cancel-consumer/{worker}", "worker.queue.cancel-consumer", QUEUE, "done"),
        (f"/api/task/revoke/{job}", "task.revoke", terminate, "done"),
        (f"/api/task/abort/{job}", "task.abort", {}, "failed"),
        (f"/api/task/rate-limit/{TASK}", "task.rate-limit", of_worker | {"ratelimit": "9/s"}, "done"),
        (f"/api/task/timeout/{TASK}", "task.timeout", of_worker | {"soft": "9", "hard": "99"}, "done"),
        (f"/api/task/async-apply/{TASK}", "task.async-apply", {}, "done"),
        ("/api/task/send-task/made.up", "task.send-task", {}, "done"),
        ("/api/task/apply/made.up", "task.apply", {}, "failed"),
        (f"/api/worker/shutdown/{worker}", "worker.shutdown", {}, "done"),
    ]


def give(client: httpx.Client, order: Order, **headers: str) -> int:
    path, _, arguments, _ = order
    sends = "apply" in path or "send" in path
    body = json.dumps({"args": [PAYLOAD]}) if sends else None
    return client.post(path, params=arguments, content=body, headers=headers).status_code


def story(line: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(line[name] for name in ("actor", "action", "target", "arguments", "outcome"))


def target_of(order: Order) -> str:
    return order[0].rpartition("/")[2]


def test_every_order_of_an_operator_is_written_down_before_and_after(
    floor: Floor, spare: str, operator: httpx.Client, lines: Lines
) -> None:
    job, task = next(iter(operator.get("/api/tasks", params={"limit": 1}).json().items()))
    given, began = orders(spare, job), datetime.now(UTC)
    for order in given:
        give(operator, order)
    told = lines(2 * len(given))
    assert [story(line) for line in told] == [
        ("operator:ada", order[1], target_of(order), order[2], outcome)
        for order in given
        for outcome in ("begun", order[3])
    ]
    assert {line["organization"] for line in told if line["target"] == job} == {task["organization"]}
    assert {line["address"] for line in told} == {"127.0.0.1"}
    assert began <= min(map(moment, told)) <= max(map(moment, told)) <= datetime.now(UTC)
    assert PAYLOAD not in floor.flower.process.log.read_text()


def moment(line: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(line["timestamp"])


def test_every_order_that_is_refused_is_written_down_with_who_was_refused(
    floor: Floor, operator: httpx.Client, lines: Lines
) -> None:
    asked = orders("nobody@nowhere", "no-task")
    with floor.flower.client(READER) as reader, floor.flower.client() as stranger:
        answers = [
            (give(reader, order), give(stranger, order), give(operator, order, Origin="https://evil.example"))
            for order in asked
        ]
    assert set(answers) == {(403, 401, 403)}
    assert [story(line) for line in lines(3 * len(asked))] == [
        (who, order[1], target_of(order), order[2], "refused")
        for order in asked
        for who in ("operator:ben", None, "operator:ada")
    ]


def test_what_our_own_pages_do_is_written_down_and_looking_is_not(
    floor: Floor, operator: httpx.Client, lines: Lines
) -> None:
    organization = str(floor.crowd.others[2].organization_id)
    operator.get("/tenants")
    sent = {"_xsrf": operator.cookies["_xsrf"], "weight": "0"}
    assert operator.post(f"/tenants/{organization}/weight", data=sent).status_code == 400
    assert operator.post(f"/tenants/{organization}/pause", data={"_xsrf": "made up"}).status_code == 403
    assert [story(line)[1:] for line in lines(3)] == [
        ("tenants.weight", organization, {"weight": "0"}, "begun"),
        ("tenants.weight", organization, {"weight": "0"}, "failed"),
        ("tenants.pause", organization, {}, "refused"),
    ]


def test_no_order_of_flower_is_left_out_here() -> None:
    ordering = {
        route.handler_class.action
        for route in routes(list(flower.urls.handlers), oauth=False)
        if issubclass(route.handler_class, BaseApiHandler)
        and route.handler_class.post is not RequestHandler.post
    }
    assert ordering == {action for _, action, _, _ in orders("w", "j")}
