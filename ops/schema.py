"""Bring a database to a revision by Alembic's own commands."""

import io
from typing import TextIO

import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from config.settings import ROOT, Settings


def alembic_config(settings: Settings, *, output: TextIO | None = None) -> Config:
    """Return the configuration that ``migrations/env.py`` reads; *settings* replace the environment's."""
    config = Config(ROOT / "alembic.ini", stdout=output or io.StringIO())
    config.attributes["settings"] = settings
    return config


def upgrade(settings: Settings, revision: str = "head") -> None:
    """Migrate up to *revision* as the owner of the tables."""
    command.upgrade(alembic_config(settings), revision)


def head_revision(settings: Settings) -> str | None:
    """Return the newest revision there is."""
    return ScriptDirectory.from_config(alembic_config(settings)).get_current_head()


def current_revision(settings: Settings) -> str | None:
    """Return the revision the database is at; needs the owner's URL."""
    assert settings.owner_database_url is not None
    url = str(settings.owner_database_url).replace("postgresql://", "postgresql+psycopg://", 1)
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:  # a NullPool keeps none
        return MigrationContext.configure(connection).get_current_revision()
