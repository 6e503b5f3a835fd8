"""What every answer has in common."""

from pydantic import BaseModel, ConfigDict


class View(BaseModel):
    """Base of what is answered: made from a row, documented by its attributes' docstrings."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)
