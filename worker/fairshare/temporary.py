"""Queues that nobody uses any more, such as those for the replies of remote control."""

import json
from collections.abc import Iterable
from typing import Any

from worker.fairshare.kombu_base import ChannelBase

REGISTRY = "_fair.temporary"
"""zset: queue and how it is bound -> moment (ms since 1970) at which it goes."""

NO_BINDING = ("", "", "")


class TemporaryQueues(ChannelBase):  # type: ignore[misc] # Kombu ships no types
    """A channel that drops queues with ``x-expires`` some time after their last consumer vanished.

    A consumer that ends in good order deletes its queue itself. What a killed one left is noted in a
    registry and swept by whoever consumes a queue that expires, which every worker with remote control
    does. The time is Kombu's own for bindings: twice the queue's and at least an hour, since a solo worker
    may be that long in one task.
    """

    def basic_consume(self, queue: str, *args: Any, **kwargs: Any) -> Any:
        """Begin to consume a queue."""
        result = super().basic_consume(queue, *args, **kwargs)
        self._keep_temporary([queue])
        return result

    def _refresh_bindings(self, queues: Iterable[str]) -> None:
        super()._refresh_bindings(queues)
        self._keep_temporary(queues)

    def sweep_bindings(self, limit: int = 100) -> int:
        """Delete what nobody refreshed in time; returns how many tables of bindings went."""
        tables: int = super().sweep_bindings(limit)
        key = self.global_keyprefix + REGISTRY
        for member in self.plain_client.zrange(
            key, "-inf", self._now_ms(), byscore=True, offset=0, num=limit
        ):
            self._delete(*json.loads(member))
            self.plain_client.zrem(key, member)
        return tables

    def _delete(
        self, queue: str, exchange: str, routing_key: str, pattern: str, *args: Any, **kw: Any
    ) -> None:
        super()._delete(queue, exchange, routing_key, pattern, *args, **kw)
        members = [_member(queue, binding) for binding in (NO_BINDING, (exchange, routing_key, pattern))]
        self.plain_client.zrem(self.global_keyprefix + REGISTRY, *members)

    def _keep_temporary(self, queues: Iterable[str]) -> None:
        """Note that the queues are in use; those of broadcasts hold nothing in Redis."""
        members: dict[str, int] = {}
        for queue in queues:
            if queue in self._expires and queue not in self._fanout_queues:
                until = self._now_ms() + self._binding_ttl(queue)
                members |= {_member(queue, binding): until for binding in self._bindings_of(queue)}
        if members:
            self.plain_client.zadd(self.global_keyprefix + REGISTRY, members)

    def _bindings_of(self, queue: str) -> list[tuple[str, str, str]]:
        found = []
        for exchange, routing_key, arguments in self.state.queue_bindings(queue):
            _, pattern, _ = self.typeof(exchange).prepare_bind(queue, exchange, routing_key, arguments)
            found.append((exchange, routing_key, pattern))
        return found or [NO_BINDING]

    def _now_ms(self) -> int:
        seconds, microseconds = self.plain_client.time()
        return int(seconds) * 1000 + int(microseconds) // 1000


def _member(queue: str, binding: tuple[str | None, ...]) -> str:
    return json.dumps([queue, *(part or "" for part in binding)])
