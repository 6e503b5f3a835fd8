"""Bring a database to a revision by Alembic's own commands."""

import io
from typing import TextIO

from alembic import command
from alembic.config import Config

from config.settings import ROOT, Settings


def alembic_config(settings: Settings, *, output: TextIO | None = None) -> Config:
    """Return the configuration that ``migrations/env.py`` reads; *settings* replace the environment's."""
    config = Config(ROOT / "alembic.ini", stdout=output or io.StringIO())
    config.attributes["settings"] = settings
    return config


def upgrade(settings: Settings, revision: str = "head") -> None:
    """Migrate up to *revision* as the owner of the tables."""
    command.upgrade(alembic_config(settings), revision)
