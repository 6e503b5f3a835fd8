"""Flower on a plain app: it sees the workers, their tasks and what waits."""

import sys
from collections.abc import Iterator

import httpx
import pytest

from config.settings import ROOT
from ops.port import LOOPBACK, free_port
from ops.process import ChildProcess
from tests.integration.fairshare.plain_app import PlainApp
from tests.support.wait import wait_until


@pytest.fixture
def flower(plain_app: PlainApp) -> Iterator[httpx.Client]:
    port = free_port()
    configuration = plain_app.directory / "flowerconfig.py"
    configuration.write_text("from worker.fairshare.flower import install\n\ninstall()\n")
    command = [
        *(sys.executable, "-m", "celery", "-A", plain_app.module, "flower"),
        *(f"--port={port}", f"--conf={configuration}"),
    ]
    environment = {**plain_app.environment, "FLOWER_UNAUTHENTICATED_API": "true"}
    process = ChildProcess(
        "flower", command, log=plain_app.directory / "flower.log", environment=environment, directory=ROOT
    )
    process.start()
    with httpx.Client(base_url=f"http://{LOOPBACK}:{port}", timeout=60) as client:
        wait_until(lambda: answers(client), 60)
        wait_until(plain_app.broker.pubsub_numpat, 60, message="Flower hears events")
        yield client
    process.kill()


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthcheck").is_success
    except httpx.TransportError:
        return False


def refreshed_lanes(client: httpx.Client, node: str) -> list[str]:
    worker = client.get("/api/workers", params={"refresh": True}).json().get(node, {})
    return [lane["name"] for lane in worker.get("active_queues", [])]


def test_flower_sees_workers_tasks_and_queues(plain_app: PlainApp, flower: httpx.Client) -> None:
    worker = plain_app.worker("threads", 2, "-E")
    node = f"{worker.name}@test"
    result = plain_app.send("add", 1, 2, tenant="acme")
    plain_app.work("acme/later", countdown=3600)
    wait_until(lambda: flower.get("/api/tasks").json().get(result.id, {}).get("state") == "SUCCESS")
    # A question that is not answered within a second is left out.
    wait_until(lambda: refreshed_lanes(flower, node) == ["celery"])
    wait_until(lambda: plain_app.in_flight() == 0)
    assert flower.get("/workers").is_success
    assert flower.get("/broker").is_success
    [lane] = flower.get("/api/queues/length").json()["active_queues"]
    assert (lane["name"], lane["messages"], lane["messages_ready"]) == ("celery", 1, 0)
    [busy] = lane["tenants"]
    assert (busy["tenant"], busy["delayed"], busy["in_flight"]) == ("acme", 1, 0)
