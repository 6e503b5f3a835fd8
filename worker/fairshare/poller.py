"""Wait for jobs, broadcasts and freed slots on one poller."""

from threading import get_ident
from typing import Any

from worker.fairshare.kombu_base import PollerBase

BUFFER = "BUFFER"
"""Kind of descriptor that is readable while fetched jobs wait for an open window."""


class Poller(PollerBase):
    """Kombu's poller, except that a channel decides itself what to read next."""

    loop: Any = None

    def on_poll_start(self) -> None:
        """Send what each channel wants to ask."""
        for channel in self._channels:
            if channel.active_queues:
                self._register_buffer(channel)
                channel.before_poll()
            if channel.active_fanout_queues:
                self._register_LISTEN(channel)

    def on_readable(self, fileno: int) -> None:
        """Read what arrived for a channel."""
        known = self._fd_to_chan.get(fileno)
        if known is None:
            return
        channel, kind = known
        channel.handlers[kind]()

    def ask(self, channel: Any) -> None:
        """Send the channel's next command on a connection that is being watched."""
        self._register_BRPOP(channel)

    def listen(self, channel: Any) -> None:
        """Subscribe to all broadcasts that the channel consumes now.

        Kombu subscribes at the next turn, and only once: who called a worker that had just said it was ready
        was not heard, nor was what a second queue of the channel was told.
        """
        channel._in_listen = None  # noqa: SLF001 - Kombu's pollers set it too
        self._register_LISTEN(channel)

    def run_ready(self) -> bool:
        """Run what the event loop was told meanwhile, such as acknowledgements; False if that was nothing."""
        loop = self.loop
        if loop is None or not loop._ready or loop._loop_thread != get_ident():  # noqa: SLF001 - it has no other door
            return False
        for callback in loop._pop_ready():  # noqa: SLF001 - as the loop itself does
            callback()
        return True

    def forget_buffer(self, channel: Any) -> None:
        """Stop watching the channel's own descriptor, which is about to be closed."""
        fileno = channel.signal.fileno()
        if self._fd_to_chan.pop(fileno, None) is None:
            return
        if self.loop is not None:
            self.loop.remove(fileno)
        else:
            self.poller.unregister(fileno)

    @property
    def fds(self) -> dict[int, Any]:
        """Descriptors the event loop does not watch yet; adding all at every turn costs a call each."""
        if self.loop is None:
            return dict(self._fd_to_chan)
        return {fd: known for fd, known in self._fd_to_chan.items() if fd not in self.loop.readers}

    def _register_buffer(self, channel: Any) -> None:
        fileno = channel.signal.fileno()
        if fileno not in self._fd_to_chan:
            self._fd_to_chan[fileno] = (channel, BUFFER)
            self.poller.register(fileno, self.eventflags)
