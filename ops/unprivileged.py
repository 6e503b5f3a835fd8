"""Whom a server that refuses to run as root runs as."""

import os
import pwd

from ops.error import OperatorError

CANDIDATES = ("nobody", "daemon", "bin")


class NoUnprivilegedUserError(OperatorError):
    """Root runs this, and no ordinary user exists whom Postgres could run as."""

    def __init__(self) -> None:
        super().__init__(
            f"Postgres refuses to run as root, and none of the users {', '.join(CANDIDATES)} exists. "
            "Run this as an ordinary user, or point GENIUS_DATABASE_URL and GENIUS_OWNER_DATABASE_URL "
            "at a Postgres server."
        )


def unprivileged_user() -> str | None:
    """Return ``uid:gid`` to run as instead of root; None when we are not root."""
    if os.geteuid() != 0:
        return None
    for name in CANDIDATES:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return f"{user.pw_uid}:{user.pw_gid}"
    raise NoUnprivilegedUserError
