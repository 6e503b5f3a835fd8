"""Social accounts in the database: their tokens, kept fresh by one refresh at a time, and their status."""

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from models.social import AccountStatus, PlatformName, SocialAccount
from tasks.social_posting.error import ReauthError, TokenExpiredError, TryAgainError, UnknownOutcomeError
from tasks.social_posting.platform import Account, Platform, Tokens
from tasks.vault import Place, UndecryptableError, Vault

log = structlog.get_logger(__name__)

T = TypeVar("T")
TABLE = "social_accounts"
ACCESS, REFRESH = "access_token_encrypted", "refresh_token_encrypted"


@dataclass(frozen=True, slots=True)
class Held:
    """An account's tokens and their version: of two who refresh, the second sees it was done."""

    tokens: Tokens
    version: int
    is_current: bool
    """They are under the current master key."""


def describe(row: SocialAccount) -> Account:
    """Return the account without its secrets."""
    return Account(
        id=row.id,
        platform=PlatformName(row.platform),
        handle=row.handle,
        remote_id=row.remote_id,
        server_url=row.server_url,
        attributes=row.attributes or {},
    )


def seal_tokens(vault: Vault, organization_id: UUID, account_id: UUID, tokens: Tokens) -> dict[str, Any]:
    """Return the columns of tokens, encrypted for one row. An empty refresh token keeps the stored one."""
    secrets = {ACCESS: tokens.access} | ({REFRESH: tokens.refresh} if tokens.refresh else {})
    sealed = {
        column: vault.encrypt(secret, Place(organization_id, TABLE, column, account_id))
        for column, secret in secrets.items()
    }
    return {**sealed, "expires_at": tokens.expires_at}


def store_tokens(vault: Vault, row: SocialAccount, tokens: Tokens) -> None:
    """Encrypt tokens into their row, whose id must be set."""
    for column, value in seal_tokens(vault, row.organization_id, row.id, tokens).items():
        setattr(row, column, value)


def held_tokens(vault: Vault, row: SocialAccount) -> Held:
    """Decrypt the tokens of a row.

    Raises:
        ReauthError: There is no token, or it cannot be decrypted.
    """
    if row.access_token_encrypted is None:
        raise ReauthError("the account has no token")
    try:
        access = vault.decrypt(row.access_token_encrypted, _place(row, ACCESS))
        refresh = (
            None
            if row.refresh_token_encrypted is None
            else vault.decrypt(row.refresh_token_encrypted, _place(row, REFRESH))
        )
    except UndecryptableError as error:
        raise ReauthError(str(error)) from error
    sealed = filter(None, (row.access_token_encrypted, row.refresh_token_encrypted))
    is_current = all(vault.is_current(each) for each in sealed)
    return Held(Tokens(access, refresh, row.expires_at), row.token_version, is_current)


def encrypt_anew(session: Session, vault: Vault) -> int:
    """Bring every token of the tenant under the current master key; returns how many accounts changed.

    An account that a job refreshes meanwhile is waited for: its row is locked.
    """
    changed = 0
    rows = session.scalars(select(SocialAccount).order_by(SocialAccount.id).with_for_update())
    for row in rows:
        if row.access_token_encrypted is None:
            continue
        with suppress(ReauthError):  # a key that is gone: its owner connects the account again
            held = held_tokens(vault, row)
            if not held.is_current:
                store_tokens(vault, row, held.tokens)
                changed += 1
    return changed


def _place(row: SocialAccount, column: str) -> Place:
    return Place(row.organization_id, TABLE, column, row.id)


@dataclass(frozen=True, slots=True)
class AccountTokens:
    """The tokens of one account, as one job uses them."""

    transaction: Callable[[], AbstractContextManager[Session]]
    vault: Vault
    platform: Platform
    account: Account

    def use(self, call: Callable[[str], T]) -> T:
        """Make a call with an access token; refresh it when it is old, or when the platform says it is.

        Raises:
            ReauthError: A fresh token was refused too, or none is to be had.
        """
        held = self._read()
        if _is_old(held.tokens, self.platform.refresh_ahead):
            held = self._refresh(held.version)
        try:
            return call(held.tokens.access)
        except TokenExpiredError:
            held = self._refresh(held.version)
        try:
            return call(held.tokens.access)
        except TokenExpiredError as error:
            raise ReauthError(f"a fresh token was refused: {error.detail}") from error

    def _read(self) -> Held:
        with self.transaction() as session:
            held = held_tokens(self.vault, _select(session, self.account.id, lock=False))
            if held.is_current:
                return held
            row = _select(session, self.account.id, lock=True)
            session.refresh(row)
            held = held_tokens(self.vault, row)
            store_tokens(self.vault, row, held.tokens)
            return held

    def _refresh(self, seen: int) -> Held:
        """Refresh, unless someone has since version *seen*.

        The row stays locked during the call, the one exception to the rule that no transaction stands across
        the network: a refresh token is good for one use, and a row lock dies with its holder.
        """
        with self.transaction() as session:
            row = _select(session, self.account.id, lock=True)
            held = held_tokens(self.vault, row)
            if held.version != seen:
                return held
            if held.tokens.refresh is None:
                raise ReauthError("the access token has ended and there is none to refresh it with")
            try:
                fresh = self.platform.refresh(self.account, held.tokens.refresh)
            except UnknownOutcomeError as error:
                raise TryAgainError(f"refresh: {error.detail}") from error
            store_tokens(self.vault, row, fresh)
            row.token_version = seen + 1
            log.info("token refreshed", account=str(self.account.id), version=row.token_version)
            return held_tokens(self.vault, row)


def _is_old(tokens: Tokens, ahead: timedelta) -> bool:
    expires_at = tokens.expires_at
    return tokens.refresh is not None and expires_at is not None and expires_at - ahead <= datetime.now(UTC)


def _select(session: Session, account_id: UUID, *, lock: bool) -> SocialAccount:
    statement = select(SocialAccount).where(SocialAccount.id == account_id)
    row = session.execute(statement.with_for_update() if lock else statement).scalar_one_or_none()
    if row is None:
        raise ReauthError("the account was removed")
    return row


def hold_back(session: Session, account_id: UUID, until: datetime) -> None:
    """Send nothing of the account before *until*: its platform said so."""
    session.execute(
        update(SocialAccount)
        .where(SocialAccount.id == account_id)
        .values(rate_limited_until=until)
        .execution_options(synchronize_session=False)
    )


def set_status(session: Session, account_id: UUID, status: AccountStatus, detail: str) -> None:
    """Take an account out of use until its owner acts."""
    session.execute(
        update(SocialAccount)
        .where(SocialAccount.id == account_id)
        .values(status=status, status_detail=detail[:500])
        .execution_options(synchronize_session=False)
    )
