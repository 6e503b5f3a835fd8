"""What may be asked of a list, as one model of its query parameters: anything else is refused by name."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model
from sqlalchemy import ColumnElement

from intake.paging import LARGEST_PAGE
from intake.resource.cursor import LONGEST_CURSOR
from intake.resource.declaration import Resource


class ListQuery(BaseModel):
    """What every list takes."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    cursor: Annotated[
        str | None,
        Field(
            max_length=LONGEST_CURSOR,
            description="`next_cursor` of the page before, with the same filters and sort.",
        ),
    ] = None
    limit: Annotated[int, Field(ge=1, le=LARGEST_PAGE, description="How many rows at most.")] = 50
    sort: str
    deleted: bool = False

    @property
    def falling(self) -> bool:
        return self.sort.startswith("-")

    @property
    def sorted_by(self) -> str:
        return self.sort.removeprefix("-")

    def conditions(self, resource: Resource) -> list[ColumnElement[bool]]:
        """Return what the filters that were given ask of a row."""
        given = {name: getattr(self, name) for name in resource.filters}
        return [resource.filters[name].condition(value) for name, value in given.items() if value is not None]


def query_of(resource: Resource) -> type[ListQuery]:
    """Return the model of the query parameters of *resource*'s list."""
    orders = tuple(sign + name for name in resource.sorts for sign in ("-", ""))
    fields: dict[str, Any] = {
        name: (each.type | None, Field(default=None, description=each.description))
        for name, each in resource.filters.items()
    }
    fields["sort"] = (Literal[orders], Field(default=orders[0], description="A minus: falling."))
    if resource.recovers:
        fields["deleted"] = (bool, Field(default=False, description="List what was removed instead."))
    else:
        fields["deleted"] = (Literal[False], Field(default=False, description="What is removed is gone."))
    return create_model(f"{resource.view.__name__}Query", __base__=ListQuery, **fields)
