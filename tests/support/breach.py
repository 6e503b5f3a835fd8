"""Breaks the wall between tenants in the intake, for who has to show that it would be seen."""

import importlib
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

import intake
from models.session import Database
from tests.support.two_tenants import World


@contextmanager
def breach(world: World) -> Iterator[None]:
    """Let every session of the intake see every tenant's rows.

    They are a superuser's, as if no policy bound them, and their statements do not name the tenant.
    """
    assert world.urls.superuser_url is not None
    engine = create_engine(world.urls.superuser_url.replace("postgresql://", "postgresql+psycopg://"))

    @contextmanager
    def careless(database: Database, organization_id: UUID, **_: Any) -> Iterator[Session]:
        with Session(engine, expire_on_commit=False) as session, session.begin():
            seal = {"seal": database.seal(organization_id)}
            session.execute(text("SELECT set_config('app.tenant_seal', :seal, true)"), seal)
            yield session

    with pytest.MonkeyPatch.context() as patch:
        for module in _modules():
            if hasattr(module, "tenant_session"):
                patch.setattr(module, "tenant_session", careless)
        yield
    engine.dispose()


def _modules() -> Iterator[ModuleType]:
    for each in pkgutil.walk_packages(intake.__path__, "intake."):
        yield importlib.import_module(each.name)
