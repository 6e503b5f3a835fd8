"""A Redis with a replica, and three Sentinels that watch over both."""

import signal
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from ops.binaries import redis_server
from ops.embedded_redis import EmbeddedRedis
from ops.port import LOOPBACK, free_port
from ops.process import ChildProcess
from tests.support.wait import wait_until

MASTER, PASSWORD, QUORUM = "watched", "guarded", 2
READY_WITHIN = timedelta(seconds=10)


class Sentinels:
    """Three Sentinels, of which two must agree; one may be killed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.master = EmbeddedRedis(directory / "master", password=PASSWORD, durable=False)
        self.replica = EmbeddedRedis(directory / "replica", password=PASSWORD, durable=False)
        self.ports: list[int] = []
        self.processes: list[ChildProcess] = []
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        for server in (self.master, self.replica):
            server.start()
            self._exits.callback(server.stop)
            with redis.Redis.from_url(server.url()) as client:
                client.config_set("masterauth", PASSWORD)
        with redis.Redis.from_url(self.replica.url()) as client:
            client.replicaof(LOOPBACK, self.master.port)
            wait_until(lambda: client.info("replication")["master_link_status"] == "up")
        for number in range(3):
            self._start_sentinel(number)
        wait_until(lambda: all(self._sees_others(port) for port in self.ports), 60)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    @property
    def url(self) -> str:
        """Every Sentinel's address; the password and the database stand in the last only."""
        *others, last = self.ports
        urls = [f"fairsentinel://{LOOPBACK}:{port}" for port in others]
        return ";".join([*urls, f"fairsentinel://:{PASSWORD}@{LOOPBACK}:{last}/3"])

    def master_port(self) -> int:
        """Return where the last Sentinel says that the master is."""
        with redis.Redis(host=LOOPBACK, port=self.ports[-1]) as client:
            return int(client.sentinel_get_master_addr_by_name(MASTER)[1])

    def _start_sentinel(self, number: int) -> None:
        port = free_port()
        directory = self.directory / f"sentinel{number}"
        directory.mkdir(parents=True)
        configuration = directory / "sentinel.conf"
        configuration.write_text(
            f"port {port}\nbind {LOOPBACK}\ndir {directory}\n"
            f"sentinel monitor {MASTER} {LOOPBACK} {self.master.port} {QUORUM}\n"
            f"sentinel auth-pass {MASTER} {PASSWORD}\n"
            f"sentinel down-after-milliseconds {MASTER} 500\n"
            f"sentinel failover-timeout {MASTER} 3000\n"
        )
        process = ChildProcess(
            f"sentinel{number}",
            [redis_server(), configuration, "--sentinel"],
            log=directory / "log",
            stop_signal=signal.SIGTERM,
        )
        process.start()
        self._exits.callback(process.kill)
        process.wait_ready(lambda: self._answers(port), READY_WITHIN)
        self.ports.append(port)
        self.processes.append(process)

    def _sees_others(self, port: int) -> bool:
        with redis.Redis(host=LOOPBACK, port=port) as client:
            state = client.sentinel_master(MASTER)
        return bool(state["num-other-sentinels"] == 2 and state["num-slaves"] == 1)

    def _answers(self, port: int) -> bool:
        with redis.Redis(host=LOOPBACK, port=port) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False
