"""Connect social accounts: what the routes do with the database and the platforms."""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from fastapi import Request
from sqlalchemy import delete, select
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from config.settings import Settings
from intake.auth import Caller
from intake.post_body import refuse_fields
from intake.problem import ConflictError, ProblemError
from intake.resource.repository import Repository, open_repository
from intake.social_account import ACCOUNTS, FoundAccount, seal
from intake.views.social import AccountView
from models.session import tenant_session
from models.social import AccountStatus, PlatformName, SocialAccount, SocialAuthorization, SocialClient
from tasks.social_posting.adapter import Client
from tasks.social_posting.connect import (
    Departure,
    WrongSignInError,
    arrive,
    depart,
    identities,
    oauth_of,
    register_client,
    with_app_password,
)
from tasks.social_posting.error import PermanentContentError, PlatformError, ReauthError
from tasks.social_posting.platform import Identity, Tokens
from tasks.social_posting.registry import client_of
from tasks.social_posting.sign_in import OAuth
from tasks.vault import Place, Vault

LIFETIME = timedelta(minutes=10)
"""How long somebody may be away at the platform."""
SECRET_BYTES = 32
MOST_AWAY = 100
"""People of one organization who may be away at platforms at once."""
AGAIN = {
    "status": AccountStatus.ACTIVE,
    "status_detail": None,
    "token_version": SocialAccount.token_version + 1,
}
"""An account that is connected again; who was about to refresh its tokens sees that they are others."""


class Connector:
    """Connects accounts for one caller within one request."""

    def __init__(self, request: Request, caller: Caller) -> None:
        self._request = request
        self._caller = caller
        self._organization_id = caller.tenant.organization_id
        self._database = request.app.state.database
        self._vault: Vault = request.app.state.vault
        self._settings: Settings = request.app.state.settings
        self._redirect_urls = self._settings.social_redirect_urls

    def begin(
        self, platform: PlatformName, server: str | None, *, account_id: UUID | None, redirect_url: str | None
    ) -> tuple[Departure, str]:
        """Return where to send the owner, and the state by which they are known when they come back."""
        back = self._redirect(redirect_url)
        with _told("platform"):
            oauth = oauth_of(platform, server)
            client = self._client(platform, server, oauth, back)
        authorization_id, secret = uuid7(), secrets.token_bytes(SECRET_BYTES)
        state = base64.urlsafe_b64encode(authorization_id.bytes + secret).decode().rstrip("=")
        departure = depart(oauth, client, state=state, redirect_url=back)
        with self._repository() as repository:
            if account_id is not None:
                _at(repository.find(account_id), platform, server)
            _sweep(repository.session)
            repository.session.add(
                SocialAuthorization(
                    organization_id=self._organization_id,
                    id=authorization_id,
                    user_id=self._caller.user_id,
                    platform=platform,
                    server_url=server,
                    account_id=account_id,
                    state_hash=hashlib.sha256(secret).digest(),
                    verifier_encrypted=self._sealed(departure.verifier, authorization_id),
                    redirect_url=back,
                    expires_at=datetime.now(UTC) + LIFETIME,
                )
            )
        return departure, state

    def complete(self, state: str, code: str) -> list[AccountView]:
        """Connect what the owner allowed. The state is spent, whatever comes of it."""
        gone = self._take(state)
        platform = PlatformName(gone.platform)
        verifier = None
        if gone.verifier_encrypted is not None:
            verifier = self._vault.decrypt(gone.verifier_encrypted, self._place(gone.id))
        with _told("code"):
            oauth = oauth_of(platform, gone.server_url)
            client = self._client(platform, gone.server_url, oauth, gone.redirect_url)
            tokens = arrive(oauth, client, code=code, verifier=verifier, redirect_url=gone.redirect_url)
            found = identities(platform, gone.server_url, tokens)
        return self._store(platform, gone.server_url, found, tokens, account_id=gone.account_id)

    def with_password(
        self,
        platform: PlatformName,
        server: str | None,
        *,
        handle: str,
        password: str,
        account_id: UUID | None,
    ) -> list[AccountView]:
        """Trade an app password for tokens, and connect the account."""
        with _told("password"):
            tokens = with_app_password(platform, server, handle=handle, password=password)
            found = identities(platform, server, tokens)
        return self._store(platform, server, found, tokens, account_id=account_id)

    def _store(
        self,
        platform: PlatformName,
        server: str | None,
        found: Sequence[Identity],
        tokens: Tokens,
        *,
        account_id: UUID | None,
    ) -> list[AccountView]:
        with self._repository() as repository:
            repository.take_turn(growing=True)  # before any row is locked
            if account_id is not None:
                found = _only(found, _at(repository.hold(account_id), platform, server))
            accounts = [_found(platform, server, identity, tokens) for identity in found]
            return [self._connect(repository, account, account_id) for account in accounts]

    def _connect(self, repository: Repository, account: FoundAccount, account_id: UUID | None) -> Any:
        """Connect an account that is known again, or a new one."""
        known = account_id or _known(repository.session, account)
        if known is None:
            return repository.create(account)
        told = account.model_dump(exclude={"platform", "server_url"})
        return repository.write(known, AGAIN | seal(self._organization_id, known, told))

    def _redirect(self, wanted: str | None) -> str:
        if not self._redirect_urls:
            detail = (
                "The operator has set no address for people to come back to (GENIUS_SOCIAL_REDIRECT_URLS)."
            )
            raise ProblemError(503, "not-configured", detail)
        if wanted is not None and wanted not in self._redirect_urls:
            raise refuse_fields(("redirect_url", "is not one that the operator allows"))
        return wanted or self._redirect_urls[0]

    def _client(self, platform: PlatformName, server: str | None, oauth: OAuth, redirect_url: str) -> Client:
        """Return what the platform knows us by; a federated server is told of us when it is new."""
        if oauth.register_url is None or server is None:
            return client_of(platform)
        with self._session() as session:
            known = _client_row(session, platform, server, redirect_url)
            if known is not None:
                secret = self._vault.decrypt(known.client_secret_encrypted, self._client_place(known.id))
                return Client(known.client_id, secret)
        client, client_id = register_client(oauth, redirect_url=redirect_url), uuid7()
        with self._session() as session:
            session.add(
                SocialClient(
                    organization_id=self._organization_id,
                    id=client_id,
                    platform=platform,
                    server_url=server,
                    redirect_url=redirect_url,
                    client_id=client.id,
                    client_secret_encrypted=self._vault.encrypt(client.secret, self._client_place(client_id)),
                )
            )
        return client

    def _take(self, state: str) -> SocialAuthorization:
        """Return and remove what the state names, if it is this caller's and in time."""
        gone = _refused_state()
        try:
            raw = base64.urlsafe_b64decode(state + "=" * (-len(state) % 4))
        except (binascii.Error, ValueError):
            raise gone from None
        if len(raw) != 16 + SECRET_BYTES:
            raise gone
        statement = (
            delete(SocialAuthorization)
            .where(SocialAuthorization.id == UUID(bytes=raw[:16]))
            .where(SocialAuthorization.user_id == self._caller.user_id)
            .where(SocialAuthorization.state_hash == hashlib.sha256(raw[16:]).digest())
            .returning(SocialAuthorization)
        )
        with self._session() as session:
            row: SocialAuthorization | None = session.scalars(statement).one_or_none()
        if row is None or row.expires_at <= datetime.now(UTC):
            raise gone
        return row

    def _sealed(self, verifier: str | None, authorization_id: UUID) -> bytes | None:
        return None if verifier is None else self._vault.encrypt(verifier, self._place(authorization_id))

    def _place(self, authorization_id: UUID) -> Place:
        table = SocialAuthorization.__tablename__
        return Place(self._organization_id, table, "verifier_encrypted", authorization_id)

    def _client_place(self, client_id: UUID) -> Place:
        return Place(self._organization_id, SocialClient.__tablename__, "client_secret_encrypted", client_id)

    def _repository(self) -> AbstractContextManager[Repository]:
        return open_repository(self._request, self._caller, ACCOUNTS)

    def _session(self) -> Any:
        return tenant_session(self._database, self._organization_id)


def _refused_state() -> ProblemError:
    return refuse_fields(("state", "is not known: it is good once, for ten minutes, for who asked for it"))


def _at(account: Any, platform: PlatformName, server: str | None) -> AccountView:
    """Return the account if it lives there."""
    shown: AccountView = account
    if shown.platform is not platform:
        raise refuse_fields(("platform", f"is not the account's: that is {shown.platform}"))
    if shown.server_url != server:
        raise refuse_fields(("server_url", f"is not the account's: that is {shown.server_url}"))
    return shown


def _found(platform: PlatformName, server: str | None, identity: Identity, tokens: Tokens) -> FoundAccount:
    tokens = identity.tokens or tokens
    return FoundAccount(
        platform=platform,
        server_url=server,
        handle=identity.handle,
        remote_id=identity.remote_id or None,
        attributes=dict(identity.attributes),
        access_token=tokens.access,
        refresh_token=tokens.refresh,
        expires_at=tokens.expires_at,
    )


def _known(session: Session, account: FoundAccount) -> UUID | None:
    """Return the id of the account that is this one already, locked; each server has ids of its own."""
    statement = select(SocialAccount.id).where(
        SocialAccount.platform == account.platform,
        SocialAccount.server_url.is_not_distinct_from(account.server_url),
        SocialAccount.remote_id == account.remote_id,
    )
    return session.scalars(statement.with_for_update(key_share=True)).first()


def _only(found: Sequence[Identity], account: AccountView) -> Sequence[Identity]:
    """Return the identity that is the account to connect again."""
    same = [
        each
        for each in found
        if each.remote_id == account.remote_id or (not account.remote_id and each.handle == account.handle)
    ]
    if not same:
        names = ", ".join(each.handle for each in found)
        raise ConflictError(
            "other-account", f"You signed in as {names}; {account.handle} is to be connected."
        )
    return same[:1]


def _client_row(
    session: Session, platform: PlatformName, server: str, redirect_url: str
) -> SocialClient | None:
    statement = select(SocialClient).where(
        SocialClient.platform == platform,
        SocialClient.server_url == server,
        SocialClient.redirect_url == redirect_url,
    )
    return session.scalars(statement).one_or_none()


def _sweep(session: Session) -> None:
    """Forget who did not come back in time, and the oldest when too many are away."""
    session.execute(delete(SocialAuthorization).where(SocialAuthorization.expires_at <= datetime.now(UTC)))
    kept = select(SocialAuthorization.id).order_by(SocialAuthorization.id.desc()).limit(MOST_AWAY)
    session.execute(
        delete(SocialAuthorization)
        .where(SocialAuthorization.id.not_in(kept))
        .execution_options(synchronize_session=False)
    )


@contextmanager
def _told(field: str) -> Iterator[None]:
    """Tell the caller what a platform said; never what was sent to it."""
    try:
        yield
    except WrongSignInError as error:
        raise refuse_fields(("platform", str(error))) from None
    except (ReauthError, PermanentContentError) as error:
        raise refuse_fields((field, error.detail)) from None
    except PlatformError as error:
        detail = f"The platform did not answer as it should: {error.detail}. Try again shortly."
        raise ProblemError(502, "platform", detail, headers={"Retry-After": "10"}) from None
