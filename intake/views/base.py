"""What every answer has in common."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Row


class View(BaseModel):
    """Base of what is answered: made from a row, documented by its attributes' docstrings."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    @classmethod
    def from_row(cls, row: Row[*tuple[Any, ...]], **more: object) -> Self:
        """Make the answer of a row and what stands beside it."""
        return cls.model_validate({**row._mapping, **more})  # noqa: SLF001 - SQLAlchemy's public name for it
