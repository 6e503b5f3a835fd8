import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.settings import ROOT
from ops.stack import Stack, StackRunningError
from ops.supervisor import MOST_RESTARTS, KeepsEndingError
from tests.support.trace import processes_of
from tests.support.wait import wait_until

NO_EXTERNAL_SERVER: dict[str, str] = {}

HOLD = """
import json, sys, threading
from pathlib import Path
from ops.stack import Stack
with Stack(Path(sys.argv[1]), environ={}) as stack:
    postgres, redis = stack.embedded_postgres, stack.embedded_redis
    print(json.dumps({"postgres": postgres.url("genius_app", stack.secrets.app_password, "genius"),
                      "redis": redis.url()}), flush=True)
    sys.stdin.read()
"""


def hold_stack(directory: Path, *prefix: str) -> subprocess.Popen[str]:
    """Run a stack in a process of its own until its standard input closes."""
    return subprocess.Popen(  # noqa: S603 - our own program and arguments
        [*prefix, sys.executable, "-c", HOLD, str(directory)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def first_line(process: subprocess.Popen[str]) -> dict[str, str]:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the stack did not start"
    return dict(json.loads(line))


def close(process: subprocess.Popen[str]) -> int:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdout.close()
    return process.wait(30)


def test_a_stack_answers_while_open_and_leaves_no_process_when_closed(tmp_path: Path) -> None:
    with Stack(tmp_path / "s", environ=NO_EXTERNAL_SERVER) as stack:
        with psycopg.connect(stack.postgres.app_url) as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("genius_app",)
        with redis.Redis.from_url(stack.redis_url) as client:
            assert client.ping()
        assert len(processes_of(tmp_path)) >= 2
    assert processes_of(tmp_path) == []


def test_the_servers_refuse_who_lacks_the_password(tmp_path: Path) -> None:
    with Stack(tmp_path / "s", environ=NO_EXTERNAL_SERVER) as stack:
        assert stack.embedded_postgres is not None
        assert stack.embedded_redis is not None
        port = stack.embedded_postgres.port
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"postgresql://postgres:wrong@127.0.0.1:{port}/genius")
        with (
            redis.Redis(port=stack.embedded_redis.port, retry=Retry(NoBackoff(), 0)) as client,
            pytest.raises(redis.AuthenticationError),
        ):
            client.ping()


def test_the_application_role_is_neither_superuser_nor_owner(tmp_path: Path) -> None:
    with (
        Stack(tmp_path / "s", environ=NO_EXTERNAL_SERVER) as stack,
        closing(psycopg.connect(stack.postgres.app_url)) as connection,
    ):
        row = connection.execute(
            "SELECT rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname = 'genius_app'"
        ).fetchone()
        assert row == (False, False, False)


def test_what_a_durable_stack_holds_is_there_after_its_servers_were_killed(tmp_path: Path) -> None:
    with Stack(tmp_path / "s", durable=True, environ=NO_EXTERNAL_SERVER) as stack:
        with psycopg.connect(stack.postgres.owner_url or "") as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS seven")
        with redis.Redis.from_url(stack.redis_url) as client:
            client.set("kept", "7")
        assert stack.embedded_postgres is not None
        assert stack.embedded_redis is not None
        stack.embedded_postgres.kill()
        stack.embedded_redis.kill()
    with Stack(tmp_path / "s", durable=True, environ=NO_EXTERNAL_SERVER) as stack:
        with psycopg.connect(stack.postgres.owner_url or "") as connection:
            assert connection.execute("SELECT seven FROM kept").fetchone() == (7,)
        with redis.Redis.from_url(stack.redis_url) as client:
            assert client.get("kept") == b"7"


def test_a_killed_server_starts_again_on_its_port(tmp_path: Path) -> None:
    with Stack(tmp_path / "s", environ=NO_EXTERNAL_SERVER) as stack:
        server = stack.embedded_redis
        assert server is not None
        url = stack.redis_url
        server.kill()
        assert not server.alive
        server.start()
        assert stack.redis_url == url
        with redis.Redis.from_url(url) as client:
            assert client.ping()


def test_a_killed_postgres_leaves_no_session_behind(tmp_path: Path) -> None:
    with Stack(tmp_path / "s", environ=NO_EXTERNAL_SERVER) as stack:
        server = stack.embedded_postgres
        assert server is not None
        with psycopg.connect(stack.postgres.app_url) as busy:
            busy.execute("SELECT 1")
            server.kill()
            assert [p for p in processes_of(tmp_path) if p.name() == "postgres"] == []
            with pytest.raises(psycopg.OperationalError):
                busy.execute("SELECT 1")


def test_servers_that_ended_by_themselves_are_started_again_and_not_for_ever(tmp_path: Path) -> None:
    with Stack(tmp_path / "s", durable=True, environ=NO_EXTERNAL_SERVER) as stack:
        assert stack.embedded_postgres is not None
        assert stack.embedded_redis is not None
        said: list[str] = []
        stack.revive(said.append)
        assert said == []

        servers = (stack.embedded_postgres, stack.embedded_redis)
        for server in servers:
            os.kill(server.process.pid, signal.SIGKILL)
        wait_until(lambda: not any(server.alive for server in servers))
        stack.revive(said.append)
        assert said == [
            f"{name} ended with exit code -9; starting it again" for name in ("postgres", "redis")
        ]
        psycopg.connect(stack.postgres.app_url).close()
        with redis.Redis.from_url(stack.redis_url) as client:
            assert client.ping()

        for _ in range(MOST_RESTARTS - 1):
            stack.embedded_redis.kill()
            stack.revive(said.append)
        stack.embedded_redis.kill()
        with pytest.raises(KeepsEndingError, match="redis keeps ending"):
            stack.revive(said.append)


def test_two_stacks_cannot_share_a_directory(tmp_path: Path) -> None:
    with (
        Stack(tmp_path / "s", environ=NO_EXTERNAL_SERVER),
        pytest.raises(StackRunningError),
        Stack(tmp_path / "s", environ=NO_EXTERNAL_SERVER),
    ):
        pass


def test_a_killed_parent_leaves_no_server_behind(tmp_path: Path) -> None:
    parent = hold_stack(tmp_path / "s")
    first_line(parent)
    parent.send_signal(signal.SIGKILL)
    close(parent)
    wait_until(lambda: not processes_of(tmp_path), message="the servers ended after their parent")


def test_a_stack_starts_at_once_after_its_parent_was_killed(tmp_path: Path) -> None:
    parent = hold_stack(tmp_path / "s")
    first_line(parent)
    parent.send_signal(signal.SIGKILL)
    close(parent)
    with Stack(tmp_path / "s", environ=NO_EXTERNAL_SERVER) as stack:
        psycopg.connect(stack.postgres.app_url).close()


def test_secrets_outlive_the_stack_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    secrets_file = tmp_path / "secrets.env"
    with Stack(tmp_path / "s", secrets_file=secrets_file, environ=NO_EXTERNAL_SERVER) as stack:
        before = stack.environment()["GENIUS_JWT_SECRET"]
    assert secrets_file.stat().st_mode & 0o777 == 0o600
    with Stack(tmp_path / "s", secrets_file=secrets_file, environ=NO_EXTERNAL_SERVER) as stack:
        assert stack.environment()["GENIUS_JWT_SECRET"] == before


def test_servers_that_the_environment_names_are_used_and_not_started(tmp_path: Path, stack: Stack) -> None:
    external = stack.environment()
    with Stack(tmp_path / "s", environ=external) as other:
        assert other.embedded_postgres is None
        assert other.embedded_redis is None
        assert other.environment() == external
    assert processes_of(tmp_path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be refused by Postgres")
def test_root_runs_a_stack_in_a_directory_closed_to_everybody_else(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with Stack(closed / "s", environ=NO_EXTERNAL_SERVER) as stack:
        assert stack.embedded_postgres is not None
        owners = {
            process.uids().effective for process in processes_of(closed) if process.name() == "postgres"
        }
        assert owners
        assert 0 not in owners
    assert closed.stat().st_mode & 0o777 == 0o700


def test_a_path_too_long_for_a_socket_is_no_obstacle(tmp_path: Path) -> None:
    deep = tmp_path / ("long" * 30) / ("longer" * 20)
    with Stack(deep, environ=NO_EXTERNAL_SERVER) as stack:
        psycopg.connect(stack.postgres.app_url).close()
