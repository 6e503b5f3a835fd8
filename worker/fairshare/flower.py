"""Let Flower's page on the broker show how much waits in each lane."""

import asyncio
from collections.abc import Iterable
from typing import Any

import flower.views
from kombu import Connection

from worker.fairshare.transport import ALIASES

flowers_own = flower.views.Broker


class Lanes:
    """The broker as Flower asks it."""

    def __init__(self, url: str, **options: Any) -> None:
        self._connection = Connection(
            url, transport_options=options.get("broker_options"), ssl=options.get("broker_use_ssl") or False
        )

    async def queues(self, names: Iterable[str]) -> list[dict[str, Any]]:
        """Return how many messages wait in each lane."""
        return await asyncio.get_running_loop().run_in_executor(None, self._sizes, list(names))

    def _sizes(self, names: list[str]) -> list[dict[str, Any]]:
        with self._connection as connection:
            channel: Any = connection.channel()
            return [{"name": name, "messages": channel._size(name)} for name in names]  # noqa: SLF001 - Kombu's hook


def broker(url: str, **options: Any) -> Any:
    """Return what reads the broker at *url*: ours for our schemes."""
    ours = url.partition("://")[0] in ALIASES
    return Lanes(url, **options) if ours else flowers_own(url, **options)


def install() -> None:
    """Call this in ``flowerconfig.py``."""
    flower.views.Broker = broker
