"""A Redis to replay on."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import redis

from ops.embedded_redis import EmbeddedRedis
from ops.error import OperatorError


@dataclass(frozen=True, slots=True)
class Scratch:
    """Keys of a Redis that are nobody else's."""

    client: redis.Redis
    prefix: str


@contextmanager
def own_redis() -> Iterator[Scratch]:
    """Start a Redis for the length of the block."""
    with TemporaryDirectory(prefix="genius-simulate-") as directory:
        server = EmbeddedRedis(Path(directory), password=secrets.token_hex(16), durable=False)
        server.start()
        try:
            with redis.Redis.from_url(server.url()) as client:
                yield Scratch(client, "")
        finally:
            server.stop()


class RedisAwayError(OperatorError):
    """The Redis to replay on does not answer."""


@contextmanager
def shared_redis(url: str) -> Iterator[Scratch]:
    """Use a Redis that others use too, under a prefix of its own."""
    try:
        with redis.Redis.from_url(url) as client:
            yield Scratch(client, f"simulation:{secrets.token_hex(8)}:")
    except redis.ConnectionError as error:
        raise RedisAwayError(f"Redis does not answer as configured: {error}") from None
