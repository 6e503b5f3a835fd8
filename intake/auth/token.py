"""What a token says, once its signature, times, issuer and audience have held."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import jwt

from config.settings import Settings
from intake.problem import UnauthenticatedError
from models.user import ROLE_PERMISSIONS, Role

ALGORITHM = "HS256"
"""Signed and verified with one secret: for development."""
LONGEST_TOKEN = 8_192
REQUIRED_CLAIMS = ("exp", "iat", "organization_id", "user_id")
LONGEST_NAME = 200
"""Characters of an id of a user, a token or a key."""
MOST_PERMISSIONS = 200
MACHINE = "api-key:"
"""Callers with an API key are named so, and nobody else."""

MALFORMED = (jwt.PyJWTError, ValueError, TypeError, RecursionError)
"""Beside its own errors PyJWT lets a few through for headers of odd types."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a token or a key says its bearer is."""

    organization_id: UUID
    user_id: str
    permissions: frozenset[str]
    issued_at: datetime
    token_id: str | None = None
    limits: bool = True
    """It says what its bearer may; otherwise the user's role alone does."""
    is_braked: bool = False
    """Of a key: its organization is about to be suspended."""

    @property
    def is_machine(self) -> bool:
        """Tell whether it came with an API key, which stands for nobody."""
        return self.user_id.startswith(MACHINE)


def key_id_of(token: str, settings: Settings) -> str | None:
    """Return by which of the issuer's keys *token* asks to be verified; None is our own secret.

    Nothing else of what the header says is followed: no address, no key that the token brings along.

    Raises:
        UnauthenticatedError: It is no token, or of a sort that is not taken here.
    """
    if len(token) > LONGEST_TOKEN:
        raise UnauthenticatedError("The token is too long.")
    try:
        header = jwt.get_unverified_header(token)
    except MALFORMED:
        raise UnauthenticatedError("The token is not valid.") from None
    if not settings.has_issuer:
        return None
    if header.get("alg") == ALGORITHM:
        if settings.jwt_secret_beside_jwks:
            return None
        raise UnauthenticatedError(f"Tokens signed with {ALGORITHM} are not taken here.")
    key_id = header.get("kid")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= LONGEST_NAME:
        raise UnauthenticatedError("The token does not say which key signed it (kid).")
    return key_id


def verify(token: str, settings: Settings, *, key: jwt.PyJWK | None = None) -> Identity:
    """Return what *token* says, which *key* of the issuer must have signed; None is our own secret.

    A key is good for the one algorithm that it was published for, whatever the token's header says.

    Raises:
        UnauthenticatedError: It is not ours, not in time, or says too little.
    """
    if len(token) > LONGEST_TOKEN:
        raise UnauthenticatedError("The token is too long.")
    try:
        claims = jwt.decode(
            token,
            settings.jwt_secret.get_secret_value() if key is None else key,
            algorithms=[ALGORITHM if key is None else key.algorithm_name],
            audience=settings.jwt_audience,
            issuer=settings.jwt_issuer,
            leeway=settings.jwt_leeway,
            options={
                "require": list(REQUIRED_CLAIMS),
                "verify_aud": settings.jwt_audience is not None,
            },
        )
    except jwt.ExpiredSignatureError:
        raise UnauthenticatedError("The token has expired.") from None
    except jwt.MissingRequiredClaimError as error:
        raise UnauthenticatedError(f"The token lacks the claim {error.claim}.") from None
    except (jwt.InvalidAudienceError, jwt.InvalidIssuerError):
        raise UnauthenticatedError("The token is of another issuer or for another audience.") from None
    except MALFORMED:
        raise UnauthenticatedError("The token is not valid.") from None
    return _identity(claims)


def _identity(claims: Mapping[str, Any]) -> Identity:
    organization, user, token_id = claims["organization_id"], claims["user_id"], claims.get("jti")
    if not isinstance(organization, str) or not _is_name(user):
        raise UnauthenticatedError("The token's organization_id and user_id must be strings.")
    if token_id is not None and not _is_name(token_id):
        raise UnauthenticatedError(f"The token's jti must be a string of 1 to {LONGEST_NAME} characters.")
    try:
        organization_id = UUID(organization)
    except ValueError:
        raise UnauthenticatedError("The token's organization_id is not a UUID.") from None
    return Identity(
        organization_id,
        user,
        _permissions(claims),
        issued_at=_moment(claims["iat"]),
        token_id=token_id,
        limits="role" in claims or "permissions" in claims,
    )


def _is_name(value: object) -> bool:
    """Tell whether it may name a user or a token: what Postgres cannot hold names nobody."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= LONGEST_NAME
        and value.isprintable()
        and not value.startswith(MACHINE)
    )


def _moment(issued_at: object) -> datetime:
    try:
        return datetime.fromtimestamp(float(str(issued_at)), UTC)
    except (ValueError, OverflowError, OSError):
        raise UnauthenticatedError("The token's iat is no moment.") from None


def _permissions(claims: Mapping[str, Any]) -> frozenset[str]:
    role, listed = claims.get("role"), claims.get("permissions", [])
    if role is not None and not isinstance(role, str):
        raise UnauthenticatedError("The token's role must be a string.")
    if (
        not isinstance(listed, list)
        or len(listed) > MOST_PERMISSIONS
        or not all(isinstance(p, str) for p in listed)
    ):
        raise UnauthenticatedError("The token's permissions must be a list of strings.")
    return frozenset(listed) | frozenset(_of_role(role))


def _of_role(role: str | None) -> frozenset[str]:
    """Return what a role permits; a role we do not know permits nothing."""
    return frozenset(ROLE_PERMISSIONS[Role(role)]) if role in set(Role) else frozenset()
