"""What every table has in common: names, types, the tenant's key, time stamps, soft delete."""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    MetaData,
    Text,
    Uuid,
    column,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, base
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column
from sqlalchemy.types import UserDefinedType
from uuid_utils.compat import uuid7

NAMING = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}

NEW_ID = func.app.uuid7()
"""Default of ids made in the database; Python makes its own with ``uuid7``."""

EMPTY_OBJECT = text("'{}'::jsonb")
EMPTY_LIST = text("'[]'::jsonb")


class Xid8(UserDefinedType[int]):
    """A 64-bit transaction id: Postgres has no cast between it and bigint, so it travels as text."""

    cache_ok = True
    render_bind_cast = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"

    def bind_processor(self, dialect: Dialect) -> Callable[[int | None], str | None]:  # noqa: ARG002 (SQLAlchemy's signature)
        return lambda value: None if value is None else str(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], int | None]:  # noqa: ARG002 (SQLAlchemy's signature)
        return lambda value: None if value is None else int(value)


base.ischema_names.setdefault("xid8", Xid8)  # so that Alembic recognises the type it reads back


class Base(DeclarativeBase):
    """Root of every table."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar = {
        str: Text,
        int: BigInteger,
        float: Double,
        datetime: DateTime(timezone=True),
        UUID: Uuid,
        dict[str, Any]: JSONB(none_as_null=True),
        list[Any]: JSONB(none_as_null=True),
        list[str]: ARRAY(Text),
    }

    organization_id: Mapped[UUID] = mapped_column(primary_key=True, sort_order=-2)
    """Every table has it, first in every key; sessions add it to every statement."""


class OrganizationMixin:
    """Rows of an organization that must exist: a foreign key, where each insert may lock the organization."""

    @declared_attr
    @classmethod
    def organization_id(cls) -> Mapped[UUID]:
        return mapped_column(ForeignKey("organizations.organization_id"), primary_key=True, sort_order=-2)


class TenantMixin(OrganizationMixin):
    """The primary key ``(organization_id, id)`` with a time-ordered id."""

    @declared_attr
    @classmethod
    def id(cls) -> Mapped[UUID]:
        return mapped_column(primary_key=True, default=uuid7, server_default=NEW_ID, sort_order=-1)


class CreatedMixin:
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), sort_order=90)


class TimestampMixin(CreatedMixin):
    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.now(), onupdate=func.now(), sort_order=91
    )


class SoftDeleteMixin:
    """A row that is hidden, not removed: sessions leave it out unless asked for ``include_deleted``."""

    deleted_at: Mapped[datetime | None] = mapped_column(sort_order=92)


def one_of(name: str, members: type[StrEnum]) -> CheckConstraint:
    """Constrain text column *name* to the values of *members*.

    A native enum has no leakproof comparison: row-level security would keep its index from being used.
    """
    return CheckConstraint(column(name).in_([member.value for member in members]), name=name)


def references(table: str, local: str) -> ForeignKeyConstraint:
    """Point *local* at the id of *table* within the same organization.

    Without the organization on both sides a foreign key tells whether another tenant's id exists.
    """
    return ForeignKeyConstraint(["organization_id", local], [f"{table}.organization_id", f"{table}.id"])
