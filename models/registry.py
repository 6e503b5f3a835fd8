"""Every table of the house in one place: Alembic compares them with the database."""

import importlib
import pkgutil

from sqlalchemy import MetaData

import models
from models.base import Base


def load_tables() -> MetaData:
    """Import every module of this package and return the tables they declare."""
    for module in pkgutil.iter_modules(models.__path__):
        importlib.import_module(f"models.{module.name}")
    return Base.metadata
