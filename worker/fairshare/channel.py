"""A Kombu channel whose queues are fair-share lanes."""

import contextlib
import logging
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from queue import Empty
from time import monotonic
from typing import Any

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError

from worker.fairshare.batch import PublishBatch
from worker.fairshare.conversation import Conversation
from worker.fairshare.errors import BacklogFullError
from worker.fairshare.keeper import Keeper, impatient, keeper_of
from worker.fairshare.kombu_base import ChannelBase
from worker.fairshare.message import Message, delivery_of, entry_of
from worker.fairshare.options import OPTION_NAMES, Options
from worker.fairshare.poller import BUFFER
from worker.fairshare.qos import QoS
from worker.fairshare.queue import Entry, FairQueue, Outcome, Placed, Reserved
from worker.fairshare.signal import Signal
from worker.fairshare.temporary import TemporaryQueues

logger = logging.getLogger(__name__)

SHORTEST_WAIT = 0.005
"""Seconds between two looks at lanes that have nothing to run."""
PATIENCE = timedelta(milliseconds=20)
"""What was fetched ahead and waits longer than this is given back."""


class Channel(TemporaryQueues):
    """Publishes into lanes and consumes from them.

    It reads on one connection and never blocks on it: it sends a command, and the poller says when the
    answer is there. ``reserve`` goes out whenever the window is open, with the acknowledgements that are
    due; after an empty answer it waits for the bell, at most a second, and asks again. So a wake-up that
    is lost costs a second and not a job.
    """

    QoS = QoS
    socket_timeout = 10.0
    """Seconds; Kombu sets none, so that a call on a connection that died silently would never return."""
    Message = Message
    from_transport_options = ChannelBase.from_transport_options + OPTION_NAMES

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.signal = Signal()
        self._buffer: deque[tuple[str, Reserved]] = deque()
        self._idle_until: float | None = None
        self._no_ack: set[str] = set()
        self._average = 0.0
        self._handed_over = 0.0
        self._ack_client: Redis | None = None
        self._lanes: dict[str, FairQueue] = {}
        super().__init__(*args, **kwargs)
        self.options = Options.of(self.connection.client.transport_options)
        self.policy = self.options.policy
        self.conversation = Conversation()
        self.handlers = {"BRPOP": self._brpop_read, "LISTEN": self._receive, BUFFER: self.deliver}

    # -- publishing

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        entry = entry_of(message, self.options.settings)
        batch = kwargs.pop("_publish_batch", None)
        if batch is not None:
            batch.add_entry(queue, entry)
        else:
            self.enqueue(queue, [entry])

    def enqueue(self, lane: str, entries: Sequence[Entry]) -> list[Placed]:
        """Queue entries, in as few calls as their number allows.

        Raises:
            BacklogFullError: A tenant has its maximum of jobs waiting; the entries of others are queued.
        """
        placed = self.lane(lane).enqueue(entries)
        if Placed.REFUSED in placed:
            raise BacklogFullError(entries[placed.index(Placed.REFUSED)].tenant, lane)
        return placed

    def create_publish_batch(self, max_size: int) -> PublishBatch:
        """Begin a batch of publications."""
        return PublishBatch(self, max_size)

    def encode_body(self, body: Any, encoding: str | None = None) -> tuple[Any, str | None]:
        """Leave text as it is: only bytes need base64 inside JSON."""
        if isinstance(body, str):
            return body, "utf-8"
        encoded: tuple[Any, str | None] = super().encode_body(body, encoding)
        return encoded

    # -- lanes

    @property
    def plain_client(self) -> Redis:
        """A client that adds no prefix: the lane's keys bring it already."""
        if self._ack_client is None or self._ack_client.connection_pool is not self.pool:
            self._ack_client = Redis(connection_pool=self.pool)
            self._lanes.clear()
        return self._ack_client

    def lane(self, queue: str) -> FairQueue:
        """Return the fair-share queue behind *queue*."""
        client = self.plain_client
        lane = self._lanes.get(queue)
        if lane is None:
            lane = self._lanes[queue] = FairQueue(client, queue, self.global_keyprefix, self.policy)
        return lane

    def _get(self, queue: str) -> dict[str, Any]:
        jobs = self.lane(queue).reserve(1)
        if not jobs:
            raise Empty
        (tag,) = self.keeper.take(jobs)
        self.keeper.begin(tag)
        return delivery_of(jobs[0], tag)

    def basic_get(self, queue: str, no_ack: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002 - Kombu's signature
        """Get one message at once, or None."""
        message = super().basic_get(queue, no_ack=no_ack, **kwargs)
        if message is not None and no_ack:
            self.job_ended(message.delivery_tag, Outcome.ACK)
            self.keeper.flush()
        return message

    def _size(self, queue: str) -> int:
        keys = self.lane(queue).keys
        with self.plain_client.pipeline(transaction=False) as pipe:
            pipe.hlen(keys.of("body"))
            pipe.zcard(keys.of("leases"))
            all_jobs, leased = pipe.execute()
        return max(0, int(all_jobs - leased))

    def _purge(self, queue: str) -> int:
        return self.lane(queue).purge()

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:  # noqa: ARG002 - Kombu's signature
        return bool(self.plain_client.exists(self.lane(queue).keys.of("clock")))

    def _delete(
        self, queue: str, exchange: str, routing_key: str, pattern: str, *args: Any, **kwargs: Any
    ) -> None:
        super()._delete(queue, exchange, routing_key, pattern, *args, **kwargs)
        self.lane(queue).destroy()

    # -- consuming

    @cached_property
    def keeper(self) -> Keeper:
        """The leases of this process on this broker."""
        client = self.connection.client
        server = (client.hostname, client.port, client.virtual_host, client.userid, tuple(client.alt or ()))
        identity = (*server, self.global_keyprefix, self.options)
        return keeper_of(
            identity,
            lambda: Keeper(
                Redis(connection_pool=impatient(self._get_pool(), self.policy.lease)),
                prefix=self.global_keyprefix,
                policy=self.policy,
                patience=PATIENCE,
            ),
        )

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> Any:  # noqa: FBT001 - Kombu's signature
        """Begin to consume a queue; a broadcast is heard from here on, and not only from the first poll."""
        if no_ack:
            self._no_ack.add(queue)
        self._idle_until = None
        consumer_tag = super().basic_consume(queue, no_ack, *args, **kwargs)
        if queue in self.active_fanout_queues:
            self.connection.cycle.listen(self)
        return consumer_tag

    def _basic_cancel(self, consumer_tag: str) -> None:
        queue = self._tag_to_queue.get(consumer_tag)
        super()._basic_cancel(consumer_tag)
        self._no_ack.discard(queue)
        if not self.active_queues:
            self._settle()

    def before_poll(self) -> None:
        """Ask for more if the window has room; what is here already is handed over by the poller's next turn.

        Not in this one: a prefork pool has looked by now whether it has anything to write. Acknowledgements
        travel with the next request; only while the bell is awaited they go by themselves.
        """
        self.signal.set(bool(self._buffer) and self._may_deliver())
        if self._in_poll:
            if self.conversation.awaits_bell:
                self.keeper.flush()
        elif self._wanted() > 0:
            self.connection.cycle.ask(self)

    def _may_deliver(self) -> bool:
        return self.qos.can_consume() or self._buffer[0][1].lane in self._no_ack

    def _wanted(self) -> int:
        """How many jobs to ask for: what the window holds, and of short jobs some ahead.

        Jobs are fetched ahead only as far as they begin within a few milliseconds; the buffer is filled
        again when it is half empty, so that acknowledgements and requests travel in batches.
        """
        window: int | None = self.qos.open_window
        if window is None:
            return self.options.batch_size - len(self._buffer)
        ahead = self._ahead()
        if window == 0 and monotonic() - self._handed_over > self.options.lookahead_ms / 1000:
            return 0  # whatever runs now is longer than what ran before
        slots: int = self.qos.prefetch_count
        if len(self._buffer) > max(ahead // 2, min(ahead, slots) - 1):
            return 0
        return max(0, window + ahead - len(self._buffer))

    def _ahead(self) -> int:
        """How many jobs begin within the lookahead, if they run as long as the last ones did."""
        if not self._average:
            return 0
        slots: int = self.qos.prefetch_count or 1
        count = int(slots * self.options.lookahead_ms / 1000 / self._average)
        return min(self.options.batch_size, max(count, slots)) if count > 1 else 0

    def _brpop_start(self, timeout: float | None = None) -> None:  # noqa: ARG002 - Kombu's signature
        connection = self.client.connection
        lanes = [self.lane(queue) for queue in self.active_queues]
        if self._idle_until is None:
            count = max(1, self._wanted())
            command = self.conversation.reserve(lanes, count, self.keeper.take_ends())
        else:
            wait = min(self.brpop_timeout or 1, max(self._idle_until - monotonic(), SHORTEST_WAIT))
            command = self.conversation.listen([lane.keys.bell for lane in lanes], wait)
            self._idle_until = None
        self._in_poll = connection
        self._brpop_sent_at = monotonic()
        connection.send_command(*command)

    def _brpop_read(self, **options: Any) -> bool:  # noqa: ARG002 - Kombu's signature
        """Read the answer that is there; raises Empty if it brought no job."""
        try:
            jobs = self._read_answers()
        except (ReadOnlyError, OutOfMemoryError) as error:
            self._break_connection()
            raise RedisConnectionError(str(error)) from error
        except self.connection_errors:
            self._break_connection()
            raise
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        for tag, job in zip(self.keeper.take(jobs), jobs, strict=True):
            self._buffer.append((tag, job))
        if not jobs:
            raise Empty
        self.deliver()
        return True

    def _read_answers(self) -> list[Reserved]:
        awaited_jobs = self.conversation.awaits_jobs
        jobs, look_again = self.conversation.read(self.client)
        self._give_up_answers()  # if they were not understood
        if awaited_jobs and not jobs:
            wait = 60.0 if look_again is None else look_again.total_seconds()
            self._idle_until = monotonic() + wait
        return jobs

    def _give_up_answers(self) -> None:
        """Tell again what was brought along and may not have arrived."""
        untold = self.conversation.give_up()
        if untold:
            self.keeper.put_back(untold)

    def _break_connection(self) -> None:
        self._give_up_answers()
        self.client.connection.disconnect()

    def deliver(self) -> None:
        """Hand jobs to the consumer as far as its window is open, for a few milliseconds at most."""
        until = monotonic() + self.options.lookahead_ms / 1000
        while self._buffer and monotonic() <= until:
            if self._may_deliver():
                self._deliver_next()
            elif not self.connection.cycle.run_ready():
                return

    def _deliver_next(self) -> None:
        if not self._in_poll and self._wanted() > 0:
            self.connection.cycle.ask(self)  # so that more is there when the rest is handed over
        tag, job = self._buffer.popleft()
        self._handed_over = monotonic()
        if self.keeper.begin(tag):
            self._deliver_one(tag, job)

    def _deliver_one(self, tag: str, job: Reserved) -> None:
        if job.lane not in self.connection._callbacks:  # noqa: SLF001 - Kombu's channels read it too
            self.keeper.end(tag, Outcome.UNSTARTED)
            return
        try:
            payload = delivery_of(job, tag)
        except (ValueError, KeyError, TypeError):
            logger.critical(
                "a message of lane %s cannot be read and is dropped: %r", job.lane, job.message[:1000]
            )
            self.keeper.end(tag, Outcome.DROP)
            return
        if job.lane in self._no_ack:
            self.keeper.end(tag, Outcome.ACK)
        self.connection._deliver(payload, job.lane)  # noqa: SLF001 - as Kombu's channels do

    def job_ended(self, tag: str, outcome: Outcome) -> None:
        """Note how a job ended, and how long jobs take."""
        used = self.keeper.end(tag, outcome)
        if used:
            self._average += (used - self._average) / 8

    def _restore(self, message: Any, leftmost: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - Kombu's signature
        self.job_ended(message.delivery_tag, Outcome.RETRY)

    # -- ending

    def _settle(self) -> None:
        """Read what was asked for, and give back every job that was not handed over."""
        if self._in_poll and self.conversation.awaits_jobs:
            with contextlib.suppress(Empty, RedisError, OSError):
                jobs = self._read_answers()
                self._buffer.extend(zip(self.keeper.take(jobs), jobs, strict=True))
            self._give_up_answers()  # if they could not be read
            self._in_poll = None
        while self._buffer:
            self.keeper.end(self._buffer.popleft()[0], Outcome.UNSTARTED)
        self.signal.set(raised=False)
        with contextlib.suppress(RedisError, OSError):
            self.keeper.flush()

    def close(self) -> None:
        """Give back what has not begun, and close."""
        if self.closed:
            return
        self._closing = True
        self._settle()
        self._in_poll = None  # a bell that is awaited is left: the connection goes
        cycle, keeper = self.connection.cycle, self.__dict__.get("keeper")
        super().close()
        with contextlib.suppress(RedisError, OSError):
            if keeper is not None:
                keeper.flush()
        cycle.forget_buffer(self)
        self.signal.close()
