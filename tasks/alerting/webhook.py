"""Calls to tenants' webhook endpoints: never into our own network, never elsewhere than asked."""

import ssl
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import cache
from http import HTTPStatus
from typing import Any

import httpcore
import httpx

from tasks.address import AddressRefusedError, addresses_of
from tasks.alerting.outcome import DeliveryError, RefusedError

TIMEOUT = timedelta(seconds=10)
USER_AGENT = "marketing-genius/1"

GONE = HTTPStatus.GONE
"""An endpoint that answers so wants to hear no more."""

SUCCESS = 2
"""First digit of a status."""


class GuardedBackend(httpcore.SyncBackend):
    """Connects to public addresses only.

    The name is resolved once, checked, and the connection goes to what was checked: a name that answers
    differently the second time gains nothing. TLS still verifies the name.
    """

    def __init__(self, *, private_too: bool) -> None:
        self._private_too = private_too

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            addresses = addresses_of(host, port, private_too=self._private_too)
        except OSError as error:
            raise httpcore.ConnectError(f"{host} has no address") from error
        failure: httpcore.NetworkError | httpcore.TimeoutException | None = None
        for address in addresses:
            try:
                return super().connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError(f"{host} has no address")


@cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()


def post(url: str, headers: Mapping[str, str], body: bytes, *, private_too: bool) -> int:
    """Make one call and return its status when it is a success. Redirects are not followed, answers not read.

    Raises:
        DeliveryError: It was not received; another attempt may succeed, unless it is a `RefusedError`.
    """
    if not private_too and not url.startswith("https://"):
        raise RefusedError("an endpoint must be an https address")
    seconds = TIMEOUT.total_seconds()
    timeout = dict.fromkeys(("connect", "read", "write", "pool"), seconds)
    ours = {"content-type": "application/json", "user-agent": USER_AGENT}
    everything: list[tuple[bytes | str, bytes | str]] = [*ours.items(), *headers.items()]
    backend = GuardedBackend(private_too=private_too)
    try:
        with (
            httpcore.ConnectionPool(ssl_context=_tls(), network_backend=backend) as pool,
            pool.stream(
                "POST", url, headers=everything, content=body, extensions={"timeout": timeout}
            ) as answer,
        ):
            status = answer.status
    except AddressRefusedError as error:
        raise RefusedError(str(error)) from error
    except (httpcore.UnsupportedProtocol, httpcore.LocalProtocolError, ValueError) as error:
        raise RefusedError(f"not an address that can be called: {error}") from error
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
        raise DeliveryError(f"no answer: {type(error).__name__}: {error}"[:300]) from error
    if status == GONE:
        raise RefusedError("the endpoint says that it is gone", status=status)
    if status // 100 != SUCCESS:
        raise DeliveryError(f"the endpoint answered {status}", status=status)
    return status
