"""Publish many messages in few calls."""

from collections import defaultdict
from typing import Any

from redis.exceptions import RedisError

from worker.fairshare.kombu_base import BatchPublishError, PublishBatchBase
from worker.fairshare.queue import Entry


class PublishBatch(PublishBatchBase):  # type: ignore[misc] # Kombu ships no types
    """Kombu's batch, with one call per lane for everything that is queued."""

    def __init__(self, channel: Any, max_size: int) -> None:
        self._entries: dict[str, list[Entry]] = defaultdict(list)
        super().__init__(channel, max_size)

    def add_entry(self, lane: str, entry: Entry) -> None:
        """Add one job of the message that is being published."""
        self._entries[lane].append(entry)

    def publish(self, message: dict[str, Any], **kwargs: Any) -> Any:
        """Route one prepared message, and send the batch once it is full."""
        result = super().publish(message, **kwargs)
        if sum(len(entries) for entries in self._entries.values()) >= self.max_size:
            self.flush()
        return result

    def flush(self) -> None:
        """Queue everything that was added."""
        super().flush()
        while self._entries:
            lane, entries = self._entries.popitem()
            try:
                self.channel.enqueue(lane, entries)
            except RedisError as error:
                self._failed = error
                raise BatchPublishError("the batch may be queued in part: send it again") from error

    def discard(self) -> None:
        """Forget what was not sent."""
        self._entries.clear()
        super().discard()
