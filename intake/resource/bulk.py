"""Many changes of one resource in one request: all or none, or each by itself."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Self, TypeVar
from uuid import UUID

from pydantic import BaseModel, Field, create_model, model_validator

from intake.errors import REFUSALS, problem_of
from intake.ingest.fields import Body
from intake.problem import FieldError, ProblemError
from intake.resource.declaration import Resource
from intake.resource.etag import tag_of
from intake.resource.repository import Repository
from intake.views.base import View

V = TypeVar("V", bound=View)
X = TypeVar("X", bound=Body)

MOST_ITEMS = 500
"""In one request, which is one transaction."""

Condition = Annotated[str, Field(max_length=200, description="As the header If-Match.")] | None


class BulkDelete(Body):
    id: UUID
    if_match: Condition = None


class BulkChange(BulkDelete, Generic[X]):
    set: X


class BulkBody(Body):
    """What to do, in this order: delete, restore, change, create. What goes makes room for what comes."""

    atomic: bool = True
    """All or none. False: each by itself, and the answer tells what became of it."""
    delete: tuple[BulkDelete, ...] = ()
    restore: tuple[UUID, ...] = ()
    change: tuple[BulkChange[Any], ...] = ()
    create: tuple[Any, ...] = ()

    @model_validator(mode="after")
    def some_and_each_once(self) -> Self:
        """Refuse none, too many, and a row that is named twice: what is wanted of it would not be clear."""
        named = self.named
        count = len(named) + len(self.create)
        if not 0 < count <= MOST_ITEMS:
            raise ValueError(f"must hold 1 to {MOST_ITEMS} items in all, not {count}")
        twice = next((item_id for item_id in named if named.count(item_id) > 1), None)
        if twice is not None:
            raise ValueError(f"names {twice} twice; name each once")
        return self

    @property
    def named(self) -> list[UUID]:
        """Return the ids of the rows that are there."""
        return [*(each.id for each in (*self.delete, *self.change)), *self.restore]


class BulkResult(BaseModel, Generic[V]):
    """What became of one item."""

    item: str
    """Which, as in `create[3]`."""
    status: int
    """What it would be by itself: 200, 201, 204, or the status of its refusal."""
    id: UUID | None = None
    etag: str | None = None
    now: V | None = None
    """What it is now; null where it is gone or was refused."""
    type: str | None = None
    error: str | None = None
    errors: list[FieldError] | None = None


class BulkAnswer(BaseModel, Generic[V]):
    results: list[BulkResult[V]]
    refused: int
    """How many; none where all or none was asked for."""


@dataclass(frozen=True, slots=True)
class _Step:
    item: str
    status: int
    act: Callable[[], View | None]
    id: UUID | None = None


def bulk_body_of(resource: Resource) -> type[BulkBody]:
    """Return the model of a bulk request of *resource*: only what the resource allows."""
    nothing = (tuple[()], ())
    fields: dict[str, Any] = {
        "delete": (tuple[BulkDelete, ...], ()) if resource.removable else nothing,
        "restore": (tuple[UUID, ...], ()) if resource.recovers else nothing,
        "change": (tuple[BulkChange[resource.change], ...], ()) if resource.change else nothing,  # type: ignore[name-defined]
        "create": (tuple[resource.create, ...], ()) if resource.create else nothing,  # type: ignore[name-defined]
    }
    return create_model(f"{resource.view.__name__}Bulk", __base__=BulkBody, **fields)


def carry_out(repository: Repository, body: BulkBody) -> BulkAnswer[Any]:
    """Do what *body* says.

    Raises:
        ProblemError: All or none was asked for, and an item was refused; the problem names it.
    """
    repository.take_all(
        body.named,
        growing=bool(body.create or body.restore),
        together=len(body.create) if body.atomic else 0,
    )
    act = _do if body.atomic else _try
    results = [act(repository, step) for step in _steps(repository, body)]
    return BulkAnswer(results=results, refused=sum(result.error is not None for result in results))


def _steps(repository: Repository, body: BulkBody) -> Iterator[_Step]:
    for n, gone in enumerate(body.delete):
        act = _bound(repository.delete, gone.id, if_match=gone.if_match)
        yield _Step(f"delete[{n}]", 204, act, gone.id)
    for n, item_id in enumerate(body.restore):
        yield _Step(f"restore[{n}]", 200, _bound(repository.restore, item_id), item_id)
    for n, new in enumerate(body.change):
        act = _bound(repository.change, new.id, new.set, if_match=new.if_match)
        yield _Step(f"change[{n}]", 200, act, new.id)
    for n, made in enumerate(body.create):
        yield _Step(f"create[{n}]", 201, _bound(repository.create, made))


def _bound(act: Callable[..., View | None], *arguments: Any, **options: Any) -> Callable[[], View | None]:
    return lambda: act(*arguments, **options)


def _do(_: Repository, step: _Step) -> BulkResult[Any]:
    try:
        return _done(step, step.act())
    except REFUSALS as error:
        raise _of_item(problem_of(error), step.item) from error


def _try(repository: Repository, step: _Step) -> BulkResult[Any]:
    """Do it behind a savepoint: what is refused leaves no trace and the transaction good."""
    try:
        with repository.session.begin_nested():
            return _done(step, step.act())
    except REFUSALS as error:
        problem = problem_of(error)
        return BulkResult(
            item=step.item,
            status=problem.status,
            id=step.id,
            type=f"urn:genius:problem:{problem.slug}",
            error=problem.detail,
            errors=_within(problem.errors, step.item) or None,
        )


def _done(step: _Step, now: View | None) -> BulkResult[Any]:
    shown: dict[str, Any] = {} if now is None else {"etag": tag_of(now), "now": now}
    item_id = step.id or getattr(now, "id", None)
    return BulkResult(item=step.item, status=step.status, id=item_id, **shown)


def _of_item(problem: ProblemError, item: str) -> ProblemError:
    """Return the refusal of the whole for *problem* of one item."""
    return ProblemError(
        problem.status,
        problem.slug,
        f"{item}: {problem.detail} Nothing was done.",
        headers=problem.headers,
        errors=_within(problem.errors, item) or [FieldError(field=item, message=problem.detail)],
        extra=problem.extra,
    )


def _within(errors: Sequence[FieldError], item: str) -> list[FieldError]:
    return [error.model_copy(update={"field": f"{item}.{error.field}"}) for error in errors]
