"""What our pages work with: the two databases, the queue, and what was seen of it last."""

from dataclasses import dataclass

import redis

from config.settings import Settings
from models.session import (
    Database,
    RelayDatabase,
    RelayNotConfiguredError,
    open_database,
    open_relay_database,
)
from ops.directory import Directory
from ops.flower.watch import Watch
from worker.publish import Publisher

POOL = 5
PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Desk:
    """The servers, as an operator uses them."""

    database: Database
    relay: RelayDatabase | None
    """None: nothing can be found across tenants."""
    client: redis.Redis
    publisher: Publisher
    watch: Watch
    directory: Directory


def open_desk(settings: Settings) -> Desk:
    """Open everything and begin to watch; no server need be there."""
    database = open_database(settings, pool_size=POOL)
    client = redis.Redis.from_url(
        str(settings.redis_url), socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S
    )
    directory = Directory(database)
    watch = Watch(client, directory)
    watch.start()
    return Desk(database, _relay(settings), client, Publisher(settings), watch, directory)


def _relay(settings: Settings) -> RelayDatabase | None:
    try:
        return open_relay_database(settings)
    except RelayNotConfiguredError:
        return None
