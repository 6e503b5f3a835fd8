"""PgBouncer in transaction mode before a test's Postgres.

The project does not install it: without it the tests behind a pooler are left out, loudly.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from uuid_utils.compat import uuid7

from ops.port import free_port
from ops.process import ChildProcess

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")

NEEDS_PGBOUNCER = pytest.mark.skipif(
    PGBOUNCER is None,
    reason="NO PGBOUNCER: the tests behind a pooler did not run (apt-get install pgbouncer)",
)

CONFIGURATION = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 200
unix_socket_dir =
"""

RESET = """
server_reset_query = RESET ALL; CLOSE ALL; UNLISTEN *; DEALLOCATE ALL; SELECT pg_advisory_unlock_all()
server_reset_query_always = 1
"""
"""As docs/operations.md wants it."""


@contextmanager
def pgbouncer(directory: Path, urls: Sequence[str], *, connections: int, reset: bool = True) -> Iterator[str]:
    """Run PgBouncer before the server of *urls*, for their users; yield its address.

    Args:
        directory: Where its files go.
        urls: One for each user.
        connections: Most connections to the server, a user.
        reset: It cleans up after each transaction.
    """
    directory = directory / f"pgbouncer-{uuid7()}"
    directory.mkdir(mode=0o755)
    users, listen = directory / "users.txt", free_port()
    logins = [urlsplit(url) for url in urls]
    users.write_text("".join(f'"{login.username}" "{login.password}"\n' for login in logins))
    configuration = directory / "pgbouncer.ini"
    server = logins[0]
    configuration.write_text(
        CONFIGURATION.format(
            host=server.hostname, port=server.port, listen=listen, users=users, connections=connections
        )
        + (RESET if reset else "")
    )
    assert PGBOUNCER is not None
    child = ChildProcess(
        "pgbouncer",
        [PGBOUNCER, configuration],
        log=directory / "log",
        user="65534:65534" if os.geteuid() == 0 else None,  # it refuses to run as root
    )
    child.start()
    try:
        child.wait_ready(lambda: b"process up" in child.fresh_log(), timedelta(seconds=60))
        yield f"127.0.0.1:{listen}"
    finally:
        child.kill()


def through(url: str, pooler: str) -> str:
    """Return *url* with the pooler in the place of the server."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@{pooler}"))
