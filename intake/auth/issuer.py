"""The keys of who issues tokens, as it publishes them (JWKS): fetched, remembered, and changed over."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from time import monotonic

import httpx
import structlog
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK, PyJWKSet, PyJWTError
from starlette.concurrency import run_in_threadpool

from config.settings import Settings
from intake.problem import ProblemError, UnauthenticatedError

FETCHED_WITHIN = timedelta(seconds=5)
LARGEST_DOCUMENT = 256 * 1024
MOST_KEYS = 100
SMALLEST_RSA_BITS = 2_048

UNREADABLE = (httpx.HTTPError, OSError, PyJWTError, ValueError, TypeError, AttributeError, RecursionError)
"""PyJWT lets the last ones through for documents of odd types."""

Fetch = Callable[[], Awaitable[bytes]]

log = structlog.get_logger("intake.auth.issuer")


class IssuerAwayError(ProblemError):
    """Whether a token holds cannot be told: nobody is let in on a guess."""

    def __init__(self) -> None:
        detail = "The keys of who issues tokens cannot be read; nothing was recorded. Try again shortly."
        super().__init__(503, "issuer-unavailable", detail, headers={"Retry-After": "10"})


@dataclass(frozen=True, slots=True)
class Spans:
    """How long keys are good, and how often they are asked for."""

    refresh: timedelta
    retry: timedelta
    stale_limit: timedelta


class IssuerKeys:
    """Finds the key that a token names.

    One that is not known is looked for at once, but all of them together only once per `retry`: whoever sends
    random names makes us ask no more often. While the issuer is away its keys stay good up to a limit.
    Used from the event loop only.
    """

    def __init__(
        self,
        fetch: Fetch,
        *,
        algorithms: Collection[str],
        spans: Spans,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._fetch = fetch
        self._algorithms = algorithms
        self._spans = spans
        self._clock = clock
        self._keys: Mapping[str, PyJWK] = {}
        self._read_at = self._tried_at = -math.inf
        self._reading: asyncio.Task[None] | None = None

    async def find(self, key_id: str) -> PyJWK:
        """Return the key of this name.

        Raises:
            UnauthenticatedError: The issuer publishes none.
            IssuerAwayError: The issuer does not answer, and it may.
        """
        if self._is_older_than(self._spans.stale_limit):
            await self._read_again()
        elif self._is_older_than(self._spans.refresh):
            self._begin_reading()
        if key_id not in self._keys:
            await self._read_again()
        if self._is_older_than(self._spans.stale_limit):
            raise IssuerAwayError
        key = self._keys.get(key_id)
        if key is None:
            raise UnauthenticatedError("The token is signed with a key that its issuer does not publish.")
        return key

    def _is_older_than(self, span: timedelta) -> bool:
        return self._clock() - self._read_at > span.total_seconds()

    async def _read_again(self) -> None:
        """Wait for the reading that is under way, or for a new one if it is time for one."""
        self._begin_reading()
        if self._reading is not None:
            await asyncio.shield(self._reading)

    def _begin_reading(self) -> None:
        if self._reading is None and self._clock() - self._tried_at >= self._spans.retry.total_seconds():
            self._tried_at = self._clock()
            self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            self._keys = usable_keys(await self._fetch(), self._algorithms)
            self._read_at = self._clock()
        except UNREADABLE as error:
            log.warning("the issuer's keys were not read; those known stay", error=type(error).__name__)
        finally:
            self._reading = None


def usable_keys(document: bytes, algorithms: Collection[str]) -> Mapping[str, PyJWK]:
    """Return the keys of a JWKS document that may verify tokens, by their names.

    Only public keys that are meant for signing, of an algorithm that we take. A shared secret among them,
    with which everybody who reads the document could forge, is left out like everything else.

    Raises:
        PyJWTError: There is no key in it.
        ValueError: It is no JWKS document.
    """
    keys = PyJWKSet.from_json(document.decode()).keys[:MOST_KEYS]
    return {key.key_id: key for key in reversed(keys) if key.key_id and _is_usable(key, algorithms)}


def _is_usable(key: PyJWK, algorithms: Collection[str]) -> bool:
    if key.algorithm_name not in algorithms or key.public_key_use not in {None, "sig"}:
        return False
    match key.key:
        case RSAPublicKey() as rsa:
            return rsa.key_size >= SMALLEST_RSA_BITS
        case EllipticCurvePublicKey() | Ed25519PublicKey() | Ed448PublicKey():
            return True
        case _:
            return False


def open_issuer(settings: Settings) -> IssuerKeys | None:
    """Return the issuer's keys as the settings name them; None when tokens come from our own secret alone."""
    if settings.jwks_url is not None:
        fetch: Fetch = partial(fetch_url, str(settings.jwks_url))
    elif settings.jwks_file is not None:
        fetch = partial(run_in_threadpool, read_file, settings.jwks_file)
    else:
        return None
    spans = Spans(settings.jwks_refresh, settings.jwks_retry, settings.jwks_stale_limit)
    return IssuerKeys(fetch, algorithms=settings.jwt_algorithms, spans=spans)


async def fetch_url(url: str) -> bytes:
    """Fetch a document of bounded size within bounded time; redirects are not followed.

    Raises:
        ValueError: It is too large.
    """
    seconds = FETCHED_WITHIN.total_seconds()
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    body = bytearray()
    async with (
        asyncio.timeout(seconds),
        httpx.AsyncClient(timeout=seconds, headers=headers) as client,
        client.stream("GET", url) as answer,
    ):
        answer.raise_for_status()
        async for part in answer.aiter_raw():
            body += part
            if len(body) > LARGEST_DOCUMENT:
                raise ValueError("the document is too large")
    return bytes(body)


def read_file(path: Path) -> bytes:
    """Read a document of bounded size.

    Raises:
        ValueError: It is too large.
    """
    with path.open("rb") as file:
        body = file.read(LARGEST_DOCUMENT + 1)
    if len(body) > LARGEST_DOCUMENT:
        raise ValueError("the document is too large")
    return body
