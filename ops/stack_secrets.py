"""The secrets of an embedded stack: made once, kept in a file only its owner may read."""

import os
import secrets
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from config.settings import DEVELOPMENT_MARK
from migrations.bootstrap import RolePasswords


def _secret(name: str) -> str:
    """Make one; what signs or encrypts says where it comes from, so that production can refuse it."""
    mark = DEVELOPMENT_MARK if name.endswith("_secret") else ""
    return mark + secrets.token_hex(32)


@dataclass(frozen=True, slots=True, repr=False)
class StackSecrets:
    """Passwords of the servers' users and the keys that sign and encrypt."""

    superuser_password: str
    owner_password: str
    app_password: str
    relay_password: str
    redis_password: str
    jwt_secret: str
    seal_secret: str
    pointer_secret: str
    credential_secret: str
    flower_password: str

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read *path*; make what it lacks and write it back, so that a restart finds the same secrets."""
        known = read_variables(path)
        kept = cls(
            **{field.name: known.get(_variable(field.name)) or _secret(field.name) for field in fields(cls)}
        )
        written = {_variable(field.name): str(getattr(kept, field.name)) for field in fields(cls)}
        if written != known:
            write_variables(path, written)
        return kept

    @property
    def role_passwords(self) -> RolePasswords:
        return RolePasswords(owner=self.owner_password, app=self.app_password, relay=self.relay_password)


def _variable(name: str) -> str:
    return f"GENIUS_{name.upper()}"


def read_variables(path: Path) -> dict[str, str]:
    """Read ``NAME=value`` lines; a file that is absent has none."""
    if not path.exists():
        return {}
    lines = (line.partition("=") for line in path.read_text().splitlines())
    return {name: value for name, found, value in lines if found}


def write_variables(path: Path, variables: dict[str, str]) -> None:
    """Write ``NAME=value`` lines at once into a file that only its owner may read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.touch(mode=0o600)
    fresh.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    fresh.replace(path)
