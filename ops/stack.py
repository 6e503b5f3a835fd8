"""The servers everything runs on: embedded ones, or those that the environment names."""

import fcntl
import json
import os
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from dotenv import dotenv_values

from config.settings import ROOT, Settings
from migrations.bootstrap import APPLICATION, OWNER, RELAY
from ops.embedded_postgres import EmbeddedPostgres
from ops.embedded_redis import EmbeddedRedis
from ops.error import OperatorError
from ops.roles import bootstrap
from ops.schema import upgrade
from ops.stack_secrets import StackSecrets
from ops.supervisor import Restarts

DATABASE = "genius"
FLOWER_USER = "operator"
"""Who signs in to the Flower of an embedded stack."""
VAR = ROOT / "var"


class StackRunningError(OperatorError):
    """Another process runs the stack of this directory; carries the directory."""

    def __init__(self, directory: Path) -> None:
        super().__init__(f"The stack in {directory} runs already: stop that one first (Ctrl-C in its shell).")
        self.directory = directory


@dataclass(frozen=True, slots=True, repr=False)
class PostgresUrls:
    """One database as its roles see it; None where the environment names no such role."""

    app_url: str
    owner_url: str | None
    relay_url: str | None
    superuser_url: str | None

    def environment(self) -> dict[str, str]:
        """Return the variables that `Settings` reads; a superuser's URL is none of them."""
        urls = {
            "GENIUS_DATABASE_URL": self.app_url,
            "GENIUS_OWNER_DATABASE_URL": self.owner_url,
            "GENIUS_RELAY_DATABASE_URL": self.relay_url,
        }
        return {name: url for name, url in urls.items() if url is not None}


class Stack:
    """Postgres and Redis, started on entry and stopped on exit.

    ``GENIUS_DATABASE_URL`` and ``GENIUS_REDIS_URL`` in the environment name servers to use instead; they are
    neither started nor stopped. Enter it from the main thread: embedded servers die with the thread.

    Args:
        directory: Data and logs. One process at a time may run its stack.
        durable: Survive a power cut; tests go without.
        secrets_file: Where the secrets are kept; None is inside *directory*.
        environ: The environment that may name external servers and secrets.
    """

    def __init__(
        self,
        directory: Path,
        *,
        durable: bool = False,
        secrets_file: Path | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.directory = directory
        self.durable = durable
        self.embedded_postgres: EmbeddedPostgres | None = None
        self.embedded_redis: EmbeddedRedis | None = None
        self._secrets_file = secrets_file or directory / "secrets.env"
        self._environ = environ
        self._exits = ExitStack()
        self._restarts: defaultdict[str, Restarts] = defaultdict(Restarts)

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            self._lock(exits)
            self.secrets = StackSecrets.load(self._secrets_file)
            self._start_redis(exits)
            self._start_postgres(exits)
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    @property
    def postgres(self) -> PostgresUrls:
        """The URLs of the application's database."""
        return self.postgres_urls(DATABASE)

    @property
    def redis_url(self) -> str:
        """The URL of Redis, in its database 0 when it is embedded."""
        if self.embedded_redis is None:
            return self._environ["GENIUS_REDIS_URL"]
        return self.embedded_redis.url()

    def postgres_urls(self, database: str) -> PostgresUrls:
        """Return the URLs of a database of the embedded server; of the one named when it is external."""
        server = self.embedded_postgres
        if server is None:
            return PostgresUrls(
                app_url=self._environ["GENIUS_DATABASE_URL"],
                owner_url=self._environ.get("GENIUS_OWNER_DATABASE_URL"),
                relay_url=self._environ.get("GENIUS_RELAY_DATABASE_URL"),
                superuser_url=self._environ.get("GENIUS_SUPERUSER_DATABASE_URL"),
            )
        return PostgresUrls(
            app_url=server.url(APPLICATION, self.secrets.app_password, database),
            owner_url=server.url(OWNER, self.secrets.owner_password, database),
            relay_url=server.url(RELAY, self.secrets.relay_password, database),
            superuser_url=server.superuser_conninfo.removesuffix("/postgres") + f"/{database}",
        )

    def environment(self) -> dict[str, str]:
        """Return every GENIUS_ variable that a child process needs to use this stack.

        Secrets and other settings that the environment already gives win; the servers' URLs are the stack's.
        """
        made = {
            "GENIUS_JWT_SECRET": self.secrets.jwt_secret,
            "GENIUS_SEAL_SECRET": self.secrets.seal_secret,
            "GENIUS_POINTER_SECRET": self.secrets.pointer_secret,
            "GENIUS_CREDENTIAL_SECRET": self.secrets.credential_secret,
            "GENIUS_FLOWER_USERS": _flower_users(self.secrets.flower_password),
            "GENIUS_FLOWER_DIRECTORY": str(self.directory / "flower"),
            "GENIUS_ENVIRONMENT": "development",
        }
        given = {name: value for name, value in self._environ.items() if name.startswith("GENIUS_")}
        return made | given | {"GENIUS_REDIS_URL": self.redis_url} | self.postgres.environment()

    def settings(self) -> Settings:
        """Return the settings of a process that uses this stack, whatever this one's environment says."""
        return settings_from(self.environment())

    def revive(self, say: Callable[[str], None]) -> None:
        """Start embedded servers again that ended by themselves, and *say* so.

        Raises:
            KeepsEndingError: One did so too often.
        """
        for server in (self.embedded_postgres, self.embedded_redis):
            if server is None or server.alive:
                continue
            self._restarts[server.process.name].allow(server.process)
            say(f"{server.process.name} ended with exit code {server.process.exit_code}; starting it again")
            server.start()

    def migrate(self) -> None:
        """Bring the database to the newest revision."""
        upgrade(self.settings())

    def _lock(self, exits: ExitStack) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        lock = exits.enter_context((self.directory / "lock").open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackRunningError(self.directory) from None

    def _start_redis(self, exits: ExitStack) -> None:
        if "GENIUS_REDIS_URL" in self._environ:
            return
        self.embedded_redis = EmbeddedRedis(
            self.directory / "redis", password=self.secrets.redis_password, durable=self.durable
        )
        self.embedded_redis.start()
        exits.callback(self.embedded_redis.stop)

    def _start_postgres(self, exits: ExitStack) -> None:
        if "GENIUS_DATABASE_URL" in self._environ:
            return
        self.embedded_postgres = EmbeddedPostgres(
            self.directory / "postgres", password=self.secrets.superuser_password, durable=self.durable
        )
        self.embedded_postgres.start()
        exits.callback(self.embedded_postgres.stop)
        bootstrap(self.embedded_postgres.superuser_conninfo, self.secrets.role_passwords, DATABASE)


def _flower_users(password: str) -> str:
    return json.dumps({FLOWER_USER: {"password": password, "role": "operator"}})


def given_environment() -> dict[str, str]:
    """Return this process's environment over what ``.env`` says, as `Settings` reads them."""
    written = {name: value for name, value in dotenv_values(ROOT / ".env").items() if value}
    return {**written, **os.environ}


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Read settings from *environment* alone: neither this process's own nor any file."""
    prefix = "GENIUS_"
    values = {name.removeprefix(prefix).lower(): value for name, value in environment.items()}
    return Settings(_env_file=None, **values)  # type: ignore[arg-type] # pydantic parses the strings
