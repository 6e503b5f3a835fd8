"""`genius up` runs the whole system, and takes all of it away again."""

import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest
import redis

from ops.port import free_port
from tests.support.command import Up, genius
from tests.support.trace import processes_of
from tests.support.wait import wait_until

DEAD = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
PATIENCE_S = 60
"""For an answer: a server that comes back may let one wait."""


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One running system for the tests that do not stop it."""
    with Up(tmp_path_factory.mktemp("up"), "--port", str(free_port())) as up:
        up.said = up.addresses()
        yield up
        assert up.end(signal.SIGINT) == 0


def submit(up: Up, token: str, payload: dict[str, Any]) -> httpx.Response:
    return httpx.post(
        f"{up.said['intake_url']}/api/v1/jobs",
        headers={"Authorization": f"Bearer {token}"},
        json={"kind": "leads.score", "payload": payload},
        timeout=PATIENCE_S,
    )


def new_token(up: Up) -> str:
    environment = up.environment()
    made = genius("org", "create", "--name", "Acme", "--plan", "professional", environment=environment)
    return genius("token", "--org", made.stdout.strip(), environment=environment).stdout.strip()


def children_of(up: Up) -> list[psutil.Process]:
    """Return the live processes that it started, with what each is; one may end while it is looked at."""
    children = []
    for child in psutil.Process(up.process.pid).children():
        with suppress(psutil.NoSuchProcess):
            child.info = child.as_dict(["name", "cmdline", "status"])
            if child.info["status"] not in DEAD:
                children.append(child)
    return children


def test_it_says_where_everything_is(up: Up) -> None:
    with psycopg.connect(up.said["database_url"]) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("genius_app",)
    with psycopg.connect(up.said["owner_database_url"]) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("genius_owner",)
    with redis.Redis.from_url(up.said["redis_url"]) as client:
        assert client.ping()
    assert httpx.get(f"{up.said['intake_url']}/readyz", timeout=PATIENCE_S).status_code == 200
    assert httpx.get(f"{up.said['intake_url']}/openapi.json", timeout=PATIENCE_S).status_code == 200
    assert httpx.get(f"{up.said['flower_url']}/healthcheck", timeout=PATIENCE_S).status_code == 200


def test_a_job_sent_to_it_runs(up: Up) -> None:
    token = new_token(up)
    answer = submit(up, token, {"all": True})
    assert answer.status_code == 202, answer.text
    job = f"{up.said['intake_url']}/api/v1/jobs/{answer.json()['id']}"

    def state() -> str:
        bearer = {"Authorization": f"Bearer {token}"}
        return str(httpx.get(job, headers=bearer, timeout=PATIENCE_S).json()["state"])

    wait_until(lambda: state() == "succeeded", 60)


def test_its_settings_are_for_its_owner_alone(up: Up) -> None:
    for name in ("stack.env", "secrets.env"):
        assert (up.directory / name).stat().st_mode & 0o777 == 0o600


def test_a_second_one_in_the_same_directory_is_refused(up: Up) -> None:
    done = genius("up", "--json", "--directory", str(up.directory), environment={})
    assert done.returncode == 1
    assert "runs already" in done.stderr


def test_a_port_that_is_taken_is_refused(up: Up, tmp_path: Path) -> None:
    port = up.said["intake_url"].rpartition(":")[2]
    done = genius("up", "--directory", str(tmp_path), "--port", port, environment={})
    assert done.returncode == 1
    assert f"Port {port} is taken" in done.stderr


def test_a_worker_that_was_killed_is_started_again(up: Up) -> None:
    def workers() -> list[psutil.Process]:
        return [child for child in children_of(up) if "worker" in child.info["cmdline"]]

    (before,) = workers()
    before.kill()
    wait_until(lambda: [worker.pid for worker in workers()] not in ([], [before.pid]), 60)
    token = new_token(up)
    assert submit(up, token, {"all": True}).status_code == 202


def test_servers_that_were_killed_are_started_again_and_the_job_runs(up: Up) -> None:
    token = new_token(up)
    names = ("postgres", "redis-server")
    servers = [child for child in children_of(up) if child.info["name"] in names]
    assert len(servers) == 2
    for server in servers:
        server.kill()

    def accepted() -> bool:
        try:
            answer = submit(up, token, {"all": True})
        except httpx.TransportError:  # its connection may have been lost with a server
            return False
        if answer.status_code == 202:
            ids.append(answer.json()["id"])
        return bool(ids)

    ids: list[str] = []
    wait_until(accepted, 60)
    job = f"{up.said['intake_url']}/api/v1/jobs/{ids[0]}"
    bearer = {"Authorization": f"Bearer {token}"}

    def state() -> str | None:
        answer: dict[str, Any] = httpx.get(job, headers=bearer, timeout=PATIENCE_S).json()
        return answer.get("state")

    wait_until(lambda: state() == "succeeded", 60)


def test_a_kill_leaves_no_process_and_a_restart_finds_everything(tmp_path: Path) -> None:
    with Up(tmp_path, "--port", str(free_port())) as first:
        first.addresses()
        before = first.environment()
        made = genius("org", "create", "--name", "Kept", "--plan", "starter", environment=before)
        assert len(processes_of(tmp_path)) > 5
        assert first.end(signal.SIGKILL) == -signal.SIGKILL
    wait_until(lambda: not processes_of(tmp_path), 60, message="everything ended with its parent")

    with Up(tmp_path, "--port", str(free_port())) as second:
        second.addresses()
        assert second.environment()["GENIUS_SEAL_SECRET"] == before["GENIUS_SEAL_SECRET"]
        found = genius("jobs", "--org", made.stdout.strip(), environment=second.environment())
        assert second.end(signal.SIGTERM) == 0
    assert found.returncode == 0, found.stderr
    assert "Kept" in found.stdout
    assert processes_of(tmp_path) == []
    assert not (tmp_path / "stack.env").exists()
