"""Other job queues for Python, each as its makers would set it up for the purpose."""

import asyncio
import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from support.system import DRAMATIQ, TASKIQ, Row, System


class DramatiqSystem(System):
    """dramatiq 2: two processes of four threads where speed counts; a queue per tenant where waits do."""

    def __init__(self, redis_url: str, queues: Sequence[str] = ("bench",), *, prefetch: int = 100) -> None:
        super().__init__(DRAMATIQ, redis_url, queues)
        from dramatiq.brokers.redis import RedisBroker  # noqa: PLC0415 - only where it is measured

        self.prefetch = prefetch
        self.broker: Any = RedisBroker(url=redis_url, namespace=self.prefix)
        for queue in self.queues:
            self.broker.declare_queue(queue)

    def publish(self, rows: Sequence[Row]) -> None:
        """Publish one by one: dramatiq knows no batches."""
        from dramatiq import Message  # noqa: PLC0415 - likewise

        for tenant, task, arguments in rows:
            queue = tenant if tenant in self.queues else self.queues[0]
            message: Any = Message(
                queue_name=queue, actor_name=task, args=tuple(arguments), kwargs={}, options={}
            )
            self.broker.enqueue(message)

    def left(self) -> int:
        """Count what is not acknowledged: until then a message stays in its hash."""
        with self.client.pipeline(transaction=False) as pipe:
            for queue in self.queues:
                pipe.hlen(f"{self.prefix}:{queue}.msgs")
            return int(sum(pipe.execute()))

    def worker_command(self, pool: str, slots: int) -> list[str]:
        """Run *slots* threads, in two processes for "prefork"."""
        processes = 2 if pool == "prefork" else 1
        threads = slots // processes
        sizes = ["-p", str(processes), "-t", str(threads)]
        return ["dramatiq", "support.dramatiq_app", *sizes, "--skip-logging", "-Q", *self.queues]

    def worker_environment(self) -> Mapping[str, str]:
        """Say which broker and queues."""
        return {
            "BENCH_BROKER": self.redis_url,
            "BENCH_PREFIX": self.prefix,
            "BENCH_QUEUES": json.dumps(self.queues),
            "dramatiq_queue_prefetch": str(self.prefetch),
        }

    def close(self) -> None:
        """Delete what is left, and let go of the connections."""
        super().close()
        self.broker.close()


class TaskiqSystem(System):
    """taskiq on Redis streams: two processes, uvloop, 100 tasks at a time."""

    def __init__(self, redis_url: str) -> None:
        super().__init__(TASKIQ, redis_url)
        self._ids: list[tuple[int, ...]] = []

    def publish(self, rows: Sequence[Row]) -> None:
        """Publish one by one, on one event loop."""
        asyncio.run(self._publish(rows))
        self._ids = sorted(_id(key) for key, _ in self.client.xrange(self.prefix))

    async def _publish(self, rows: Sequence[Row]) -> None:
        from taskiq.kicker import AsyncKicker  # noqa: PLC0415 - only where it is measured
        from taskiq_redis import RedisStreamBroker  # noqa: PLC0415

        broker = RedisStreamBroker(self.redis_url, queue_name=self.prefix, consumer_id="0")
        await broker.startup()
        for _, task, arguments in rows:
            await AsyncKicker(task, broker, {}).kiq(*arguments)
        await broker.shutdown()

    def left(self) -> int:
        """Count what was not given out, and what was and is not acknowledged."""
        (group,) = self.client.xinfo_groups(self.prefix)
        given_out = bisect_right(self._ids, _id(group["last-delivered-id"]))
        return len(self._ids) - given_out + int(group["pending"])

    def worker_command(self, pool: str, slots: int) -> list[str]:  # noqa: ARG002 - it has but one way
        """Run two processes."""
        sizes = ["--workers", "2", "--max-async-tasks", "100"]
        return ["taskiq", "worker", "support.taskiq_app:broker", *sizes, "--log-level", "ERROR"]

    def worker_environment(self) -> Mapping[str, str]:
        """Say which broker."""
        return {"BENCH_BROKER": self.redis_url, "BENCH_PREFIX": self.prefix}


def _id(key: bytes) -> tuple[int, ...]:
    return tuple(int(part) for part in key.split(b"-"))
