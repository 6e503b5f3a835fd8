"""Calls to platforms: what a failed connection means, how much is read, which servers are called at all."""

import ipaddress
import logging
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from tasks.social_posting.error import PermanentContentError, TryAgainError, UnknownOutcomeError

TIMEOUT = timedelta(seconds=10)
MOST_BYTES = 1_000_000
"""A longer answer is not read to its end."""
USER_AGENT = "marketing-genius/1"

SUCCESS, REDIRECTION, SERVER_FAILURE = 2, 3, 5
"""First digits of a status."""


Part = tuple[str, bytes, str]
"""File name, bytes and type of one part of a multipart form."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    json: Any
    """None when the body is not JSON."""
    empty: bool = False
    """The body has no bytes."""

    @property
    def succeeded(self) -> bool:
        """Tell whether the server did it and says so legibly."""
        return self.status // 100 == SUCCESS and isinstance(self.json, dict | list)

    @property
    def unclear(self) -> bool:
        """Tell whether the server may have done it: it failed in the middle, or its yes is not legible."""
        answered_yes = self.status // 100 == SUCCESS and not self.succeeded
        return (
            answered_yes or self.status // 100 >= SERVER_FAILURE or self.status == HTTPStatus.REQUEST_TIMEOUT
        )

    @property
    def redirects(self) -> bool:
        """Tell whether the server points elsewhere; we do not follow with a token in hand."""
        return self.status // 100 == REDIRECTION

    def field(self, name: str) -> Any:
        """Return a field of a JSON object, or None."""
        return self.json.get(name) if isinstance(self.json, dict) else None


@cache
def client() -> httpx.Client:
    """Return this process's client.

    Connections are not kept: a server that hangs up on an idle one makes the next post's outcome unknown.
    """
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs addresses, and some carry a token
    return httpx.Client(
        timeout=TIMEOUT.total_seconds(),
        limits=httpx.Limits(max_keepalive_connections=0),
        headers={"User-Agent": USER_AGENT},
        follow_redirects=False,
    )


def send(  # noqa: PLR0913 - one parameter per part of a request
    method: str,
    url: str,
    *,
    json: Mapping[str, Any] | None = None,
    form: Mapping[str, str] | None = None,
    files: Mapping[str, Part] | None = None,
    content: bytes | None = None,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    basic: tuple[str, str] | None = None,
) -> Answer:
    """Make one call and return its answer, whatever its status.

    Args:
        method: Of HTTP.
        url: Absolute.
        json: Body, as JSON.
        form: Body, as a form; with *files* as the text parts of a multipart one.
        files: Body, as the binary parts of a multipart form.
        content: Body, as it is.
        query: Parameters of the address.
        headers: Further headers.
        basic: User and password of HTTP Basic.

    Raises:
        TryAgainError: The server was not reached, so nothing happened there.
        UnknownOutcomeError: The request went out and no whole answer came back.
    """
    try:
        with client().stream(
            method,
            url,
            json=json,
            data=form,
            files=files,
            content=content,
            params=query,
            headers=headers,
            auth=basic,
        ) as response:
            body = _read(response)
            return Answer(response.status_code, response.headers, _parse(body), empty=body == b"")
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise TryAgainError(f"server not reached: {error}") from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise PermanentContentError(f"not a server address: {error}") from error
    except httpx.HTTPError as error:
        raise UnknownOutcomeError(f"no whole answer: {type(error).__name__}") from error


def bearer(token: str) -> dict[str, str]:
    """Return the header that presents *token*."""
    return {"Authorization": f"Bearer {token}"}


def _read(response: httpx.Response) -> bytes | None:
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > MOST_BYTES:
            return None
    return bytes(body)


def _parse(body: bytes | None) -> Any:
    try:
        return None if body is None else orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def public_server(url: str) -> str:
    """Return the base address that a tenant named for its server, when it is one on the public internet.

    A tenant could otherwise make workers call into the operator's own network.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.username is not None:
        raise PermanentContentError("the account's server must be an https address")
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
    except OSError as error:
        raise TryAgainError(f"the account's server has no address: {parts.hostname}") from error
    if not all(ipaddress.ip_address(address[4][0]).is_global for address in found):
        raise PermanentContentError("the account's server is not on the public internet")
    return f"https://{parts.netloc}"
