"""Celery, on our transport and on its own."""

import json
import uuid
from collections.abc import Mapping, Sequence

from celery import Celery
from support.system import OURS, QUEUE_PER_TENANT, Row, System

from worker.fairshare import register
from worker.fairshare.keys import LaneKeys

register()


class CelerySystem(System):
    """The same app and the same settings; ours differs from stock in the URL's scheme alone."""

    def __init__(self, name: str, redis_url: str, queues: Sequence[str] = ("bench",)) -> None:
        super().__init__(name, redis_url, queues)
        self.app = Celery("bench-publisher", broker=self.broker)
        self.app.conf.broker_transport_options = self.options

    @property
    def broker(self) -> str:
        """Broker URL."""
        return self.redis_url.replace("redis://", "fair://", 1) if self.name == OURS else self.redis_url

    @property
    def options(self) -> dict[str, object]:
        """Transport options."""
        return {"global_keyprefix": self.prefix}

    def publish(self, rows: Sequence[Row]) -> None:
        """Publish in batches, on either transport."""
        with self.app.producer_pool.acquire() as producer, producer.batch(500):
            for tenant, task, arguments in rows:
                self.app.send_task(
                    task,
                    arguments,
                    queue=tenant if self.name == QUEUE_PER_TENANT else self.queues[0],
                    producer=producer,
                    headers={"tenant": tenant},
                    argsrepr="",
                    kwargsrepr="",
                    retry=False,
                )

    def left(self) -> int:
        """Count what waits and what is in flight."""
        if self.name == OURS:
            return sum(self.client.hlen(LaneKeys(q, self.prefix).of("body")) for q in self.queues)
        with self.client.pipeline(transaction=False) as pipe:
            for queue in self.queues:
                pipe.llen(f"{self.prefix}{queue}")
            pipe.hlen(f"{self.prefix}unacked")
            return int(sum(pipe.execute()))

    def worker_command(self, pool: str, slots: int) -> list[str]:
        """One worker, without what talks to other workers."""
        return [
            *("celery", "-A", "support.bench_app", "worker", "-P", pool, "-c", str(slots)),
            *("-Q", ",".join(self.queues), "-n", f"{uuid.uuid4().hex[:8]}@bench"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"),
        ]

    def worker_environment(self) -> Mapping[str, str]:
        """Say which broker."""
        return {"BENCH_BROKER": self.broker, "BENCH_OPTIONS": json.dumps(self.options)}

    def close(self) -> None:
        """Delete what is left, and let go of the connections."""
        self.app.close()
        super().close()
