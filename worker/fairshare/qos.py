"""What a consumer has been given and has not acknowledged."""

from typing import Any

from worker.fairshare.kombu_base import QoSBase
from worker.fairshare.queue import Outcome


class QoS(QoSBase):
    """Prefetch window over leases; it touches no Redis itself, the keeper does."""

    def ack(self, delivery_tag: str) -> None:
        """Note that the job is done; the server learns it with the next batch."""
        self.channel.job_ended(delivery_tag, Outcome.ACK)
        super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - Kombu's signature
        """Give the job back, or drop it."""
        self.channel.job_ended(delivery_tag, Outcome.RETRY if requeue else Outcome.DROP)
        super().ack(delivery_tag)

    def restore_unacked(self) -> list[Any]:
        """Give back every job that is not acknowledged."""
        self._flush()
        for tag in list(self._delivered):
            self.channel.job_ended(tag, Outcome.RETRY)
        self._delivered.clear()
        return []

    def restore_unacked_once(self, stderr: Any = None) -> None:  # noqa: ARG002 - Kombu's signature
        """Let go of the messages: a job that still runs keeps its lease, the others are given back."""
        self._on_collect.cancel()
        self._flush()
        while self._delivered:
            self.channel.keeper.orphan(*self._delivered.popitem())

    @property
    def open_window(self) -> int | None:
        """How many more messages the consumer may be given; None is any number."""
        if not self.can_consume():
            return 0
        if not self.prefetch_count:
            return None
        return int(self.prefetch_count) - (len(self._delivered) - len(self._dirty))
