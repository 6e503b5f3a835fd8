"""The routes of a declared resource: list, read, make, change, remove, restore, many at once."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import TypeAdapter

from intake.auth import Caller, admit, allowed
from intake.body import body_of
from intake.ingest.fields import Body
from intake.openapi import READ, READ_ONE, WRITE, Responses, problems
from intake.paging import Page
from intake.resource.bulk import BulkAnswer, BulkBody, bulk_body_of, carry_out
from intake.resource.declaration import Resource
from intake.resource.etag import IfMatch, IfNoneMatch, answer
from intake.resource.query import ListQuery, query_of
from intake.resource.repository import open_repository
from models.user import Permission

TAG = {"headers": {"ETag": {"schema": {"type": "string"}, "description": "Names what is answered."}}}
TAGGED: Responses = {200: TAG}
UNCHANGED: Responses = {304: TAG | {"description": "You have it as it is."}}
CHANGE = problems(404, 409, 412)


def routes_of(resource: Resource) -> APIRouter:
    """Return the routes that *resource* has: what it does not declare cannot be done."""
    router = APIRouter(prefix=f"/api/v1{resource.path}", tags=[resource.path.strip("/").partition("/")[0]])
    if resource.sorts:
        _add_listing(router, resource)
    _add_reading(router, resource)
    if resource.create is not None:
        _add_making(router, resource, resource.create)
    if resource.bulk:
        _add_bulk(router, resource)
    if resource.change is not None:
        _add_changing(router, resource, resource.change)
    if resource.removable:
        _add_removing(router, resource)
    if resource.recovers:
        _add_restoring(router, resource)
    return router


def reader(resource: Resource) -> Any:
    """Return the dependency of a route that reads *resource*."""
    return _asking(resource.read)


def manager(resource: Resource) -> Any:
    """Return the dependency of a route that changes *resource*."""
    return _asking(resource.manage)


def _asking(permission: Permission | None) -> Any:
    return Depends(admit if permission is None else allowed(permission))


def _add_listing(router: APIRouter, resource: Resource) -> None:
    reads = reader(resource)
    query_model, shown = query_of(resource), resource.listed or resource.view

    @router.get("", response_model=Page[shown], responses=READ, summary=f"List: {resource.path[1:]}")  # type: ignore[valid-type]
    def list_them(
        request: Request,
        caller: Annotated[Caller, reads],
        query: Annotated[query_model, Query()],  # type: ignore[valid-type]
    ) -> Any:
        asked: ListQuery = query
        with open_repository(request, caller, resource) as repository:
            items, following = repository.page(asked)
        return Page(items=items, next_cursor=following)


def _add_reading(router: APIRouter, resource: Resource) -> None:
    reads = reader(resource)

    @router.get(
        "/{item_id}",
        response_model=resource.view,
        responses=READ_ONE | TAGGED | UNCHANGED,
        summary=f"Read one {resource.name}",
    )
    def read(
        request: Request, caller: Annotated[Caller, reads], item_id: UUID, if_none_match: IfNoneMatch = None
    ) -> Response:
        with open_repository(request, caller, resource) as repository:
            return answer(repository.find(item_id), if_none_match=if_none_match)


def _add_making(router: APIRouter, resource: Resource, schema: type[Body]) -> None:
    manages = manager(resource)
    body, extra = body_of(schema.__name__, TypeAdapter(schema))

    @router.post(
        "",
        status_code=201,
        response_model=resource.view,
        responses=WRITE | problems(409) | {201: TAG},
        openapi_extra=extra,
        summary=f"Make a {resource.name}",
    )
    def create(request: Request, caller: Annotated[Caller, manages], new: Annotated[Body, body]) -> Response:
        with open_repository(request, caller, resource) as repository:
            made: Any = repository.create(new)
        return answer(made, status=201, headers={"Location": f"{router.prefix}/{made.id}"})


def _add_changing(router: APIRouter, resource: Resource, schema: type[Body]) -> None:
    manages = manager(resource)
    body, extra = body_of(schema.__name__, TypeAdapter(schema))

    @router.patch(
        "/{item_id}",
        response_model=resource.view,
        responses=WRITE | CHANGE | TAGGED,
        openapi_extra=extra,
        summary=f"Change a {resource.name}",
    )
    def change(
        request: Request,
        caller: Annotated[Caller, manages],
        item_id: UUID,
        new: Annotated[Body, body],
        if_match: IfMatch = None,
    ) -> Response:
        with open_repository(request, caller, resource) as repository:
            return answer(repository.change(item_id, new, if_match=if_match))


def _add_removing(router: APIRouter, resource: Resource) -> None:
    manages = manager(resource)

    @router.delete(
        "/{item_id}", status_code=204, responses=READ_ONE | CHANGE, summary=f"Remove a {resource.name}"
    )
    def delete(
        request: Request, caller: Annotated[Caller, manages], item_id: UUID, if_match: IfMatch = None
    ) -> None:
        with open_repository(request, caller, resource) as repository:
            repository.delete(item_id, if_match=if_match)


def _add_restoring(router: APIRouter, resource: Resource) -> None:
    manages = manager(resource)

    @router.post(
        "/{item_id}/restore",
        response_model=resource.view,
        responses=READ_ONE | problems(409) | TAGGED,
        summary=f"Bring back a {resource.name} that was removed",
    )
    def restore(request: Request, caller: Annotated[Caller, manages], item_id: UUID) -> Response:
        with open_repository(request, caller, resource) as repository:
            return answer(repository.restore(item_id))


def _add_bulk(router: APIRouter, resource: Resource) -> None:
    manages = manager(resource)
    schema = bulk_body_of(resource)
    body, extra = body_of(schema.__name__, TypeAdapter(schema))

    @router.post(
        "/bulk",
        response_model=BulkAnswer[resource.view],  # type: ignore[name-defined]
        responses=WRITE | CHANGE,
        openapi_extra=extra,
        summary=f"Make, change, remove and restore many: {resource.path[1:]}",
        description="All or none; with `atomic: false` each by itself, and `results` tell what became of it.",
    )
    def bulk(request: Request, caller: Annotated[Caller, manages], many: Annotated[BulkBody, body]) -> Any:
        with open_repository(request, caller, resource) as repository:
            return carry_out(repository, many)
