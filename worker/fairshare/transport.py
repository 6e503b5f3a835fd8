"""The Kombu transport behind ``fair://``."""

import ssl
from typing import Any

from kombu.transport import TRANSPORT_ALIASES

from worker.fairshare.channel import Channel
from worker.fairshare.kombu_base import TransportBase
from worker.fairshare.poller import Poller
from worker.fairshare.sentinel import SentinelChannel

ALIASES = {"fair": "Transport", "fairs": "TlsTransport", "fairsentinel": "SentinelTransport"}


class Transport(TransportBase):
    """Redis transport whose queues share worker time fairly among tenants."""

    Channel = Channel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cycle = Poller()

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Let the event loop watch the connections."""
        self.cycle.loop = loop
        super().register_with_event_loop(connection, loop)


class TlsTransport(Transport):
    """The same over TLS; without options the server's certificate is checked against the system's roots."""

    def __init__(self, client: Any, *args: Any, **kwargs: Any) -> None:
        if not client.ssl:
            client.ssl = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
        super().__init__(client, *args, **kwargs)


class SentinelTransport(Transport):
    """The same, with the server found through Sentinel."""

    default_port = 26379
    Channel = SentinelChannel


def register() -> None:
    """Make Kombu know the schemes of `ALIASES`; call it before the first connection."""
    for alias, name in ALIASES.items():
        TRANSPORT_ALIASES[alias] = f"{__name__}:{name}"
