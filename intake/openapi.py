"""Completes the OpenAPI document with the bodies read in strict mode and the problem documents."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.encoders import jsonable_encoder
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from intake.body import BODY_SCHEMAS
from intake.problem import MEDIA_TYPE, TITLES, Problem

_REF = "#/components/schemas/{model}"
_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}}}
_HEADERS: Mapping[int, Mapping[str, Any]] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}}},
    429: {
        name: {"schema": {"type": "integer"}}
        for name in ("Retry-After", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
    },
    502: {"Retry-After": {"schema": {"type": "integer"}}},
    503: {"Retry-After": {"schema": {"type": "integer"}}},
}

Responses = dict[int | str, dict[str, Any]]


def problems(*statuses: int) -> Responses:
    """Declare the refusals of a route."""
    return {
        status: {
            "description": TITLES[status],
            "content": _PROBLEM,
            **({"headers": _HEADERS[status]} if status in _HEADERS else {}),
        }
        for status in sorted(statuses)
    }


READ = problems(401, 403, 421, 422, 429, 500, 503)
"""What any reading route may answer when it refuses."""
READ_ONE = READ | problems(404)
WRITE = READ | problems(413)
"""What any route with a body may answer when it refuses."""


def install(app: FastAPI) -> None:
    """Make ``/openapi.json`` the completed document, built once."""

    def build() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = build  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    # As FastAPI does with its own: it leaves out defaults that are null.
    for name, schema in jsonable_encoder(_schemas(), exclude_none=True).items():
        if schemas.setdefault(name, schema) != schema:
            raise RuntimeError(f"Two different models are called {name}.")
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return document


def _schemas() -> dict[str, Any]:
    _, found = models_json_schema([(Problem, "serialization")], ref_template=_REF)
    schemas: dict[str, Any] = dict(found["$defs"])
    adapters: list[tuple[str, Any, TypeAdapter[Any]]] = [
        (name, "validation", adapter) for name, adapter in BODY_SCHEMAS.items()
    ]
    tops, defs = TypeAdapter.json_schemas(adapters, ref_template=_REF)
    schemas.update(defs.get("$defs", {}))
    for (name, _), schema in tops.items():
        if schema.get("$ref") != _REF.format(model=name):
            schemas[name] = schema
    return schemas
