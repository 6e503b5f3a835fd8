"""A batch of rows as one parameter: rows travel as one JSON document and are unfolded in the database."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import TableValuedAlias, bindparam, column, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine


def recordset(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, TypeEngine[Any]]) -> TableValuedAlias:
    """Return *rows* as something to select from; names that a row lacks are null."""
    parameter = bindparam("rows", list(rows), type_=JSONB)
    typed = [column(name, kind) for name, kind in columns.items()]
    return func.jsonb_to_recordset(parameter).table_valued(*typed, name="row").render_derived(with_types=True)
