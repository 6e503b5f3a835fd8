"""Empty Redis databases for tests."""

import itertools
from urllib.parse import urlsplit, urlunsplit

import redis

from ops.embedded_redis import DATABASES
from ops.stack import Stack


class RedisNotEmptyError(Exception):
    """The external Redis database that tests would flush holds something; carries how many keys."""

    def __init__(self, keys: int) -> None:
        super().__init__(
            f"Tests flush the database of GENIUS_REDIS_URL, and it holds {keys} keys: name an empty one."
        )
        self.keys = keys


class QueueStore:
    """Hands out one empty database per test, in turn; an external Redis gives only the one it names."""

    def __init__(self, stack: Stack) -> None:
        self._url = stack.redis_url
        self._numbers = itertools.cycle(range(1, DATABASES)) if stack.embedded_redis else None
        if self._numbers is None:
            self._refuse_unless_empty()

    def next_url(self) -> str:
        """Flush the next database and return its URL."""
        url = self._url
        if self._numbers is not None:
            url = urlunsplit(urlsplit(url)._replace(path=f"/{next(self._numbers)}"))
        with redis.Redis.from_url(url) as client:
            client.flushdb()
        return url

    def _refuse_unless_empty(self) -> None:
        with redis.Redis.from_url(self._url) as client:
            keys = int(client.dbsize())
        if keys:
            raise RedisNotEmptyError(keys)
