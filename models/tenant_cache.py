"""What is made once for an organization and read often, in Redis under ``tenant:<id>:``.

Redis is never needed: whatever is wrong with it, a value is made anew.
"""

import hashlib
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from typing import Any
from uuid import UUID

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

PATIENCE = timedelta(milliseconds=250)
"""Whoever waits for another to make a value does so this long, then makes it too."""
LOOK_EVERY_S = 0.01
ANSWERS_WITHIN = timedelta(milliseconds=250)
MAKING = timedelta(seconds=10)
"""Should whoever makes a value vanish, another begins after this."""
GENERATION = timedelta(days=1)
REST_S = 1.0
"""After Redis failed it is left alone so long: nobody waits for a dead server twice."""
LARGEST_VALUE = 256 * 1024

SCRIPT = files(__package__).joinpath("tenant_cache.lua").read_text(encoding="utf-8")

log = structlog.get_logger(__name__)


class CacheAwayError(Exception):
    """Redis is away, or was a moment ago."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look found."""

    generation: str
    value: bytes | None
    leads: bool = False
    """There was nothing, and nobody else is making it."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """Values of one organization that are invalidated together."""

    organization_id: UUID
    name: str

    @property
    def prefix(self) -> str:
        return f"tenant:{self.organization_id}:{self.name}:"


class TenantCache:
    """Remembers values until they expire or their namespace is invalidated, whichever comes first.

    A value belongs to the generation that was in force when nobody had it yet: what was made of rows that
    changed meanwhile is not read after the change was told.
    """

    def __init__(self, client: redis.Redis, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._script = client.register_script(SCRIPT)
        self._clock = clock
        self._resting_until = 0.0

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def get(self, namespace: Namespace, name: str) -> bytes | None:
        """Return what is remembered, if anything is."""
        try:
            return self._look(namespace, name).value
        except CacheAwayError:
            return None

    def set(self, namespace: Namespace, name: str, value: bytes, *, lasts: timedelta) -> None:
        """Remember *value*, whatever was there."""
        try:
            self._keep(namespace, name, self._look(namespace, name), value, lasts)
        except CacheAwayError:
            return

    def invalidate(self, namespace: Namespace) -> bool:
        """Forget everything of *namespace*; call it after the commit. False: Redis did not hear of it.

        What could not be invalidated is read until it expires.
        """
        try:
            key = f"{namespace.prefix}generation"
            self._ask(lambda: self._client.set(key, _fresh(), px=GENERATION))
        except CacheAwayError:
            log.warning("not invalidated: Redis is away", namespace=namespace.name)
            return False
        return True

    def get_or_make(
        self, namespace: Namespace, name: str, make: Callable[[], bytes], *, lasts: timedelta
    ) -> bytes:
        """Return what is remembered, or *make* it; of many who ask at the same time, one does."""
        try:
            looked = self._wait(namespace, name)
        except CacheAwayError:
            return make()
        if looked.value is not None:
            return looked.value
        value: bytes | None = None
        try:
            value = make()
        finally:
            with suppress(CacheAwayError):
                self._keep(namespace, name, looked, value, lasts)
        return value

    def _wait(self, namespace: Namespace, name: str) -> Looked:
        """Look until there is a value, or it is ours to make, or patience ends."""
        enough = self._clock() + PATIENCE.total_seconds()
        while True:
            looked = self._look(namespace, name)
            if looked.value is not None or looked.leads or self._clock() > enough:
                return looked
            time.sleep(LOOK_EVERY_S)

    def _look(self, namespace: Namespace, name: str) -> Looked:
        arguments = (
            namespace.prefix,
            _digest(name),
            _fresh(),
            _milliseconds(GENERATION),
            _milliseconds(MAKING),
        )
        keys = [f"{namespace.prefix}generation"]
        generation, value, *leads = self._ask(lambda: self._script(keys=keys, args=arguments))
        return Looked(generation.decode(), value, leads == [1])

    def _keep(
        self, namespace: Namespace, name: str, looked: Looked, value: bytes | None, lasts: timedelta
    ) -> None:
        """Remember what was made, and let others make it again; None is what could not be made."""
        key = f"{namespace.prefix}{looked.generation}:{_digest(name)}"
        if value is not None and len(value) <= LARGEST_VALUE:
            self._ask(lambda: self._client.set(key, value, px=lasts))
        self._ask(lambda: self._client.delete(f"{key}:making"))

    def _ask(self, question: Callable[[], Any]) -> Any:
        """Ask Redis.

        Raises:
            CacheAwayError: It does not answer, or did not a moment ago.
        """
        if self._clock() < self._resting_until:
            raise CacheAwayError
        try:
            return question()
        except redis.RedisError as error:
            self._resting_until = self._clock() + REST_S
            log.warning("Redis is away; values are made anew", error=type(error).__name__)
            raise CacheAwayError from error


def open_cache(url: str) -> TenantCache:
    """Open the cache of the Redis at *url*, which answers soon or is left alone."""
    seconds = ANSWERS_WITHIN.total_seconds()
    client = redis.Redis.from_url(
        url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=Retry(NoBackoff(), 1)
    )
    return TenantCache(client)


def _fresh() -> str:
    return secrets.token_hex(8)


def _digest(name: str) -> str:
    """Name values evenly: a question may be long, and may hold what a person wrote."""
    return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()


def _milliseconds(span: timedelta) -> int:
    return int(span.total_seconds() * 1000)
