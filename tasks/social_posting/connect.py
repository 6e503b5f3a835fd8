"""Connect an account: send its owner to the platform and back (OAuth 2), or trade an app password."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from authlib.common.security import generate_token
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from models.social import PlatformName
from tasks.social_posting import http
from tasks.social_posting.adapter import Client, tokens_of
from tasks.social_posting.error import PlatformError, ReauthError, TryAgainError, nothing_visible
from tasks.social_posting.http import Answer
from tasks.social_posting.platform import Identity, Tokens
from tasks.social_posting.registry import PLATFORMS, sign_in_of
from tasks.social_posting.sign_in import AppPassword, OAuth

VERIFIER_LENGTH = 64
CLIENT_NAME = "Marketing Genius"


class WrongSignInError(Exception):
    """The platform's accounts are not connected this way."""

    def __init__(self, platform: PlatformName, other_way: str) -> None:
        super().__init__(f"{platform.value} accounts are connected {other_way}")
        self.platform = platform


@dataclass(frozen=True, slots=True)
class Departure:
    """Where to send the account's owner, and what proves later that it is they who come back."""

    url: str
    verifier: str | None


def oauth_of(platform: PlatformName, server: str | None) -> OAuth:
    """Return the platform's OAuth flow.

    Raises:
        WrongSignInError: It has none.
    """
    sign_in = sign_in_of(platform, server)
    if not isinstance(sign_in, OAuth):
        raise WrongSignInError(platform, "with an app password")
    return sign_in


def depart(oauth: OAuth, client: Client, *, state: str, redirect_url: str) -> Departure:
    """Return the address of the platform's page that asks for permission."""
    verifier = generate_token(VERIFIER_LENGTH) if oauth.pkce else None
    proof = {}
    if verifier is not None:
        proof = {"code_challenge": create_s256_code_challenge(verifier), "code_challenge_method": "S256"}
    url = prepare_grant_uri(
        oauth.authorize_url,
        client_id=client.id,
        response_type="code",
        redirect_uri=redirect_url,
        scope=oauth.scope_separator.join(oauth.scopes),
        state=state,
        **proof,
        **oauth.extra,
    )
    return Departure(url, verifier)


def arrive(oauth: OAuth, client: Client, *, code: str, verifier: str | None, redirect_url: str) -> Tokens:
    """Trade the code that the platform sent along for tokens.

    Raises:
        ReauthError: The platform refuses the code.
    """
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_url}
    if verifier is not None:
        form["code_verifier"] = verifier
    basic = (client.id, client.secret) if oauth.client_auth == "basic" else None
    if basic is None:
        form |= {"client_id": client.id, "client_secret": client.secret}
    tokens = _granted(lambda: http.send("POST", oauth.token_url, form=form, basic=basic))
    return _lasting(oauth, client, tokens)


def _lasting(oauth: OAuth, client: Client, tokens: Tokens) -> Tokens:
    """Trade a token of an hour for one of weeks, where the platform works that way."""
    exchange = oauth.exchange
    if exchange is not None:
        known = {"client_id": client.id, "client_secret": client.secret}
        query = {"grant_type": exchange.grant_type, exchange.token_parameter: tokens.access}
        query |= {name: known[name] for name in exchange.client_parameters}
        tokens = _granted(lambda: http.send("GET", exchange.url, query=query))
    if oauth.refreshes_itself:
        return Tokens(tokens.access, tokens.access, tokens.expires_at)
    return tokens


def _granted(ask: Callable[[], Answer]) -> Tokens:
    asked_at = datetime.now(UTC)
    with nothing_visible():
        answer = ask()
        if answer.unclear or answer.redirects:
            raise TryAgainError(f"the platform answered {answer.status}")
    if not answer.succeeded:
        why = answer.field("error_description") or answer.field("error") or "no reason"
        raise ReauthError(f"the platform refused: {_words(why)}")
    return tokens_of(answer, asked_at)


def _words(why: Any) -> str:
    """Return a platform's reason, which may be an object of its own."""
    return str(why.get("message") if isinstance(why, dict) else why)[:300]


def with_app_password(platform: PlatformName, server: str | None, *, handle: str, password: str) -> Tokens:
    """Trade an app password for tokens; the password is not kept.

    Raises:
        WrongSignInError: The platform has none.
        ReauthError: The platform refuses it.
    """
    sign_in = sign_in_of(platform, server)
    if not isinstance(sign_in, AppPassword):
        raise WrongSignInError(platform, "by signing in there: POST /api/v1/social/accounts/authorize")
    with nothing_visible():
        answer = http.send("POST", sign_in.session_url, json={"identifier": handle, "password": password})
        error = None if answer.succeeded else PLATFORMS[platform].classify(answer)
        if error is not None:
            raise _refused(error)
    return Tokens(str(answer.field("accessJwt")), answer.field("refreshJwt") or None, None)


def _refused(error: PlatformError) -> PlatformError:
    return ReauthError("the platform refuses this handle with this password") if _is_login(error) else error


def _is_login(error: PlatformError) -> bool:
    return isinstance(error, ReauthError) or "AuthenticationRequired" in error.detail


def identities(platform: PlatformName, server: str | None, tokens: Tokens) -> Sequence[Identity]:
    """Return the accounts that the tokens may post as.

    Raises:
        ReauthError: There is none.
    """
    found = PLATFORMS[platform].identities(tokens.access, server)
    if not found:
        raise ReauthError("the permission covers no account that can be posted to")
    return found


def register_client(oauth: OAuth, *, redirect_url: str) -> Client:
    """Register with a federated server, which knows no client of ours yet."""
    assert oauth.register_url is not None, "asked of servers that offer it"
    form = {
        "client_name": CLIENT_NAME,
        "redirect_uris": redirect_url,
        "scopes": oauth.scope_separator.join(oauth.scopes),
    }
    url = oauth.register_url
    with nothing_visible():
        answer = http.send("POST", url, form=form)
    identifier, secret = answer.field("client_id"), answer.field("client_secret")
    if not answer.succeeded or not identifier or not secret:
        raise TryAgainError(f"the server registered no client: {answer.status}")
    return Client(str(identifier), str(secret))
