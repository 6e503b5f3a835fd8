"""Databases that tests may spoil: clones of one template that Alembic made."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from migrations.bootstrap import create_database
from ops.schema import upgrade
from ops.stack import PostgresUrls, Stack, settings_from


class NoSuperuserError(Exception):
    """The tests were pointed at an external Postgres without a superuser's URL."""

    def __init__(self) -> None:
        super().__init__("Tests on an external Postgres make databases: set GENIUS_SUPERUSER_DATABASE_URL.")


def in_database(urls: PostgresUrls, database: str) -> PostgresUrls:
    """Return the same roles' URLs of another database of the same server."""
    return PostgresUrls(
        app_url=_replace(urls.app_url, database),
        owner_url=urls.owner_url and _replace(urls.owner_url, database),
        relay_url=urls.relay_url and _replace(urls.relay_url, database),
        superuser_url=urls.superuser_url and _replace(urls.superuser_url, database),
    )


def _replace(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


@contextmanager
def empty_database(stack: Stack) -> Iterator[PostgresUrls]:
    """Make a database without a table; drop it at the end."""
    with _temporary_database(stack, template="template0") as urls:
        yield urls


@contextmanager
def template_database(stack: Stack) -> Iterator[str]:
    """Make a database at the newest revision and return its name; nothing may stay connected to it."""
    with empty_database(stack) as urls:
        upgrade(settings_from(stack.environment() | urls.environment()))
        yield urlsplit(urls.app_url).path.removeprefix("/")


@contextmanager
def clone(stack: Stack, template: str) -> Iterator[PostgresUrls]:
    """Copy *template*; drop the copy at the end."""
    with _temporary_database(stack, template=template) as urls:
        yield urls


@contextmanager
def _temporary_database(stack: Stack, *, template: str) -> Iterator[PostgresUrls]:
    name = f"test_{secrets.token_hex(6)}"
    create_database(_maintenance_url(stack), name, template=template)
    try:
        yield in_database(stack.postgres, name)
    finally:
        drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
        with psycopg.connect(_maintenance_url(stack), autocommit=True) as connection:
            connection.execute(drop)


def _maintenance_url(stack: Stack) -> str:
    if stack.postgres.superuser_url is None:
        raise NoSuperuserError
    return _replace(stack.postgres.superuser_url, "postgres")
