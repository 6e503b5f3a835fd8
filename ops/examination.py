"""The checks of `genius doctor`: each says what it found and, where that will not do, the fix."""

import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.settings import Settings
from migrations.server import UnsupportedServerError, refuse_unsafe
from ops.binaries import postgres_programs, redis_server, redis_version
from ops.configuration import settings_in_force
from ops.error import OperatorError
from ops.schema import current_revision, head_revision
from ops.stack import VAR, given_environment

OLDEST_REDIS = (6, 2)
START = "Start the system with `genius up`, or point {variable} at a server that runs."


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    holds: bool
    found: str
    fix: str = ""


class CheckFailedError(Exception):
    """A check does not hold; carries what was found and the fix."""

    def __init__(self, found: str, fix: str) -> None:
        super().__init__(found)
        self.found = found
        self.fix = fix


def examine() -> list[Finding]:
    """Run every check; those of servers only once the settings are complete."""
    return list(_examine())


def _examine() -> Iterator[Finding]:
    yield Finding("Python", holds=True, found=platform.python_version())
    yield _finding("var/ can be written", _var)
    if "GENIUS_DATABASE_URL" not in given_environment():
        yield _finding("embedded Postgres", lambda: str(postgres_programs() / "postgres"))
    if "GENIUS_REDIS_URL" not in given_environment():
        yield _finding("embedded Redis", _embedded_redis)
    settings = _finding("settings", _settings)
    yield settings
    if settings.holds:
        for name, check in SERVER_CHECKS.items():
            yield _finding(name, partial(check, settings_in_force()))


def _finding(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, holds=True, found=check())
    except CheckFailedError as error:
        return Finding(name, holds=False, found=error.found, fix=error.fix)
    except OperatorError as error:
        found, _, fix = str(error).partition("\n")
        return Finding(name, holds=False, found=found, fix=fix)


def _var() -> str:
    probe = VAR / "doctor"
    try:
        VAR.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise CheckFailedError(f"{VAR}: {error.strerror}", f"Let this user write {VAR}.") from None
    return str(VAR)


def _embedded_redis() -> str:
    program = redis_server()
    return f"{program} ({'.'.join(map(str, redis_version(program)))})"


def _settings() -> str:
    settings_in_force()
    return "complete"


def _postgres(settings: Settings) -> str:
    with _connect(settings) as connection:
        version = connection.info.server_version
    try:
        refuse_unsafe(version)
    except UnsupportedServerError as error:
        raise CheckFailedError(str(error), f"Upgrade Postgres to {error.needed}.") from None
    return f"{version // 10_000}.{version % 10_000}"


def _connect(settings: Settings) -> psycopg.Connection[tuple[object, ...]]:
    try:
        return psycopg.connect(str(settings.database_url), connect_timeout=5)
    except psycopg.OperationalError as error:
        reason = str(error).strip().splitlines()[-1]
        raise CheckFailedError(reason, START.format(variable="GENIUS_DATABASE_URL")) from None


def _role(settings: Settings) -> str:
    question = """
        SELECT rolname, rolsuper OR rolbypassrls, EXISTS (SELECT FROM pg_class WHERE relowner = pg_roles.oid)
        FROM pg_roles WHERE rolname = current_user
    """
    with _connect(settings) as connection:
        row = connection.execute(question).fetchone()
    assert row is not None
    name, privileged, owns = row
    if privileged or owns:
        found = f"{name} {'passes policies' if privileged else 'owns tables'}"
        raise CheckFailedError(found, "GENIUS_DATABASE_URL must name a role like genius_app, see deploy/.")
    return str(name)


def _revision(settings: Settings) -> str:
    head = head_revision(settings)
    if settings.owner_database_url is None:
        return f"not known: GENIUS_OWNER_DATABASE_URL is not set (newest is {head})"
    try:
        current = current_revision(settings)
    except Exception as error:  # noqa: BLE001 - whatever the driver says is the finding
        fix = START.format(variable="GENIUS_OWNER_DATABASE_URL")
        raise CheckFailedError(str(error).partition("\n")[0], fix) from None
    if current != head:
        raise CheckFailedError(f"{current}, and the newest is {head}", "Run `genius migrate`.")
    return str(current)


def _redis(settings: Settings) -> str:
    with redis.Redis.from_url(str(settings.redis_url), retry=Retry(NoBackoff(), 0)) as client:
        try:
            said = client.info()
        except redis.RedisError as error:
            raise CheckFailedError(str(error), START.format(variable="GENIUS_REDIS_URL")) from None
    version = str(said["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        raise CheckFailedError(version, "Upgrade Redis to 6.2 or newer.")
    policy = said.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise CheckFailedError(
            f"maxmemory-policy {policy}", "Set it to noeviction: evicted queues lose order."
        )
    kept = (
        "append-only file" if said["aof_enabled"] else "no append-only file: the relay rebuilds what is lost"
    )
    return f"{version}, {kept}"


SERVER_CHECKS: dict[str, Callable[[Settings], str]] = {
    "Postgres": _postgres,
    "application role": _role,
    "schema revision": _revision,
    "Redis": _redis,
}
