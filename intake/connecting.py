"""Connect social accounts: what the routes do with the database and the platforms."""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from fastapi import Request
from sqlalchemy import delete, select
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from config.settings import Settings
from intake.allowance import make_room
from intake.auth import Caller
from intake.post_body import refuse_fields
from intake.problem import ConflictError, NotFoundError, ProblemError
from intake.views.social import AccountView, find_account
from models.session import tenant_session
from models.social import AccountStatus, PlatformName, SocialAccount, SocialAuthorization, SocialClient
from tasks.social_posting.account import store_tokens
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


def check_server(server: str | None, settings: Settings) -> None:
    """Refuse a server that is neither https nor trusted; whether it is public is looked at with each call.

    Raises:
        InvalidRequestError: It is.
    """
    if server is None or server.startswith("https://") or server in settings.trusted_servers:
        return
    raise refuse_fields(("server_url", "must be an https address"))


class Connector:
    """Connects accounts for one caller within one request."""

    def __init__(self, request: Request, caller: Caller) -> None:
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
        check_server(server, self._settings)
        back = self._redirect(redirect_url)
        with _told("platform"):
            oauth = oauth_of(platform, server)
            client = self._client(platform, server, oauth, back)
        authorization_id, secret = uuid7(), secrets.token_bytes(SECRET_BYTES)
        state = base64.urlsafe_b64encode(authorization_id.bytes + secret).decode().rstrip("=")
        departure = depart(oauth, client, state=state, redirect_url=back)
        with self._session() as session:
            if account_id is not None:
                _account(session, account_id, platform)
            _sweep(session)
            session.add(
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
        check_server(server, self._settings)
        with _told("password"):
            tokens = with_app_password(platform, server, handle=handle, password=password)
            found = identities(platform, server, tokens)
        return self._store(platform, server, found, tokens, account_id=account_id)

    def add(
        self, platform: PlatformName, server: str | None, identity: Identity, tokens: Tokens
    ) -> AccountView:
        """Connect an account with tokens that the caller has."""
        check_server(server, self._settings)
        with self._session() as session:
            row = self._new(session, platform, server, identity)
            store_tokens(self._vault, row, tokens)
            session.flush()
            return AccountView.model_validate(find_account(session, row.id))

    def _store(
        self,
        platform: PlatformName,
        server: str | None,
        found: Sequence[Identity],
        tokens: Tokens,
        *,
        account_id: UUID | None,
    ) -> list[AccountView]:
        with self._session() as session:
            if account_id is not None:
                found = _only(found, _account(session, account_id, platform))
            rows = [self._known(session, platform, server, identity) for identity in found]
            for row, identity in zip(rows, found, strict=True):
                store_tokens(self._vault, row, identity.tokens or tokens)
                row.token_version = (row.token_version or 0) + 1
                row.handle, row.remote_id = identity.handle, identity.remote_id
                row.attributes = dict(identity.attributes)
                row.status, row.status_detail = AccountStatus.ACTIVE, None
            session.flush()
            return [AccountView.model_validate(find_account(session, row.id)) for row in rows]

    def _known(
        self, session: Session, platform: PlatformName, server: str | None, identity: Identity
    ) -> SocialAccount:
        """Return the account that is this one already, locked, or a new one."""
        statement = select(SocialAccount).where(
            SocialAccount.platform == platform, SocialAccount.remote_id == identity.remote_id
        )
        row = session.scalars(statement.with_for_update()).first()
        return row or self._new(session, platform, server, identity)

    def _new(
        self, session: Session, platform: PlatformName, server: str | None, identity: Identity
    ) -> SocialAccount:
        make_room(session, self._caller, "social_accounts")
        row = SocialAccount(
            organization_id=self._organization_id,
            id=uuid7(),
            platform=platform,
            handle=identity.handle,
            remote_id=identity.remote_id or None,
            server_url=server,
            attributes=dict(identity.attributes),
        )
        session.add(row)
        return row

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

    def _session(self) -> Any:
        return tenant_session(self._database, self._organization_id)


def _refused_state() -> ProblemError:
    return refuse_fields(("state", "is not known: it is good once, for ten minutes, for who asked for it"))


def _account(session: Session, account_id: UUID, platform: PlatformName) -> SocialAccount:
    row = session.scalars(select(SocialAccount).where(SocialAccount.id == account_id)).one_or_none()
    if row is None:
        raise NotFoundError("social account")
    if row.platform != platform:
        raise refuse_fields(("platform", f"is not the account's: that is {row.platform}"))
    return row


def _only(found: Sequence[Identity], account: SocialAccount) -> Sequence[Identity]:
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
