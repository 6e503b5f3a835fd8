"""How an account of a platform is connected: as data, so that one flow serves them all."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import urlsplit, urlunsplit


@dataclass(frozen=True, slots=True)
class Exchange:
    """A way from a short-lived token to one that lives for weeks: a GET with the token in the query."""

    url: str
    grant_type: str
    token_parameter: str
    client_parameters: tuple[str, ...]
    """Which of `client_id` and `client_secret` go along."""


@dataclass(frozen=True, slots=True)
class OAuth:
    """The authorization code flow of a platform."""

    authorize_url: str
    token_url: str
    scopes: tuple[str, ...]
    optional_scopes: tuple[str, ...] = ()
    """Asked for only where the platform has approved the operator's client for them."""
    scope_separator: str = " "
    pkce: bool = False
    """With a S256 challenge."""
    client_auth: Literal["basic", "body"] = "body"
    """Where the token call carries client id and secret."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """Further parameters of the authorize URL."""
    exchange: Exchange | None = None
    """A second call that must follow the first."""
    refreshes_itself: bool = False
    """The long-lived access token is its own refresh token."""
    register_url: str | None = None
    """Where a client registers itself with the server (federated platforms: each server is its own)."""


@dataclass(frozen=True, slots=True)
class AppPassword:
    """A password that the account's owner makes for us; traded once for tokens and not kept."""

    session_url: str
    """POST `{"identifier", "password"}`; answers `accessJwt`, `refreshJwt`, `did` and `handle`."""


SignIn = OAuth | AppPassword


def at_server(sign_in: SignIn, base: str) -> SignIn:
    """Return the sign-in with *base* in the place of each address's scheme and host."""
    if isinstance(sign_in, AppPassword):
        return AppPassword(moved(sign_in.session_url, base))
    exchange = sign_in.exchange
    return replace(
        sign_in,
        authorize_url=moved(sign_in.authorize_url, base),
        token_url=moved(sign_in.token_url, base),
        exchange=None if exchange is None else replace(exchange, url=moved(exchange.url, base)),
        register_url=None if sign_in.register_url is None else moved(sign_in.register_url, base),
    )


def moved(url: str, base: str) -> str:
    """Return the address with *base* in the place of its scheme and host."""
    parts, place = urlsplit(url), urlsplit(base)
    path = place.path.rstrip("/") + parts.path
    return urlunsplit((place.scheme, place.netloc, path, parts.query, ""))
