"""The channel of a broker found through Sentinel."""

from typing import Any

from kombu.utils.url import url_to_parts
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.fairshare.channel import Channel
from worker.fairshare.kombu_base import SentinelChannelBase, SentinelManager
from worker.fairshare.options import OPTION_NAMES


class SentinelChannel(Channel, SentinelChannelBase):  # type: ignore[misc] # Kombu ships no types
    """Asks every Sentinel of ``fairsentinel://one:26379;fairsentinel://two:26379`` for the server.

    Credentials and database number may stand in any of the URLs, since the connection moves from one to the
    next; they are those of the server, Sentinel's own are the transport option ``sentinel_kwargs``.
    """

    from_transport_options = SentinelChannelBase.from_transport_options + OPTION_NAMES

    def _sentinel_managed_pool(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002 - Kombu's signature
        parameters = self._connparams(asynchronous)
        only = (parameters.pop("host", None), parameters.pop("port", None))
        if getattr(self, "master_name", None) is None:
            raise ValueError("the transport option 'master_name' must name what Sentinel watches")
        urls = [url_to_parts(url) for url in self.connection.client.alt]
        sentinels = [(url.hostname, url.port or self.connection.default_port) for url in urls] or [only]
        manager = SentinelManager(
            sentinels,
            min_other_sentinels=getattr(self, "min_other_sentinels", 0),
            sentinel_kwargs=self._to_sentinels(parameters),
            **parameters,
        )
        # Kombu closes these with the channel.
        setattr(self, "_async_sentinel_manager" if asynchronous else "_sentinel_manager", manager)
        return manager.master_for(self.master_name, Redis).connection_pool

    def _to_sentinels(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Ask the next Sentinel at once when one is away; redis-py would try each again for seconds."""
        given = getattr(self, "sentinel_kwargs", None)
        if given is None:
            given = {name: value for name, value in parameters.items() if name.startswith("socket_")}
        return {"retry": Retry(NoBackoff(), 0), **given}

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - Kombu's signature
        parameters: dict[str, Any] = super()._connparams(asynchronous)
        for url in map(url_to_parts, self.connection.client.alt):
            parameters["username"] = parameters["username"] or url.username
            parameters["password"] = parameters["password"] or url.password
            parameters["db"] = parameters["db"] or self._prepare_virtual_host(url.path)
        return parameters
