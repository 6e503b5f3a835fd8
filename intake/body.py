"""Reads a JSON body in strict mode, straight from its bytes.

FastAPI would parse with the standard library first, which lets NaN, lone surrogates and endless nesting
through to the database, and then validate in Python mode, where strict types refuse what JSON must write as
strings.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Depends, Request
from pydantic import TypeAdapter, ValidationError

from intake.validation import refuse

T = TypeVar("T")

BODY_SCHEMAS: dict[str, TypeAdapter[Any]] = {}
"""Name to adapter of every body, from which the OpenAPI document is completed."""


def json_body(adapter: TypeAdapter[T], *, items: str | None = None) -> Callable[[Request], Awaitable[T]]:
    """Return the dependency that reads and validates the body.

    Args:
        adapter: What the body must be.
        items: Name of the list whose members are the items of a batch.
    """

    async def read(request: Request) -> T:
        raw = await request.body()
        try:
            return adapter.validate_json(raw, strict=True)
        except ValidationError as error:
            raise refuse(error, items=items) from None

    return read


def body_of(name: str, adapter: TypeAdapter[T], *, items: str | None = None) -> tuple[Any, dict[str, Any]]:
    """Return the dependency of a body and what its route passes as ``openapi_extra``.

    Authenticate first: name the caller's parameter before the body's, so that strangers' bodies are not read.
    """
    BODY_SCHEMAS[name] = adapter
    schema = {"$ref": f"#/components/schemas/{name}"}
    extra = {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
    return Depends(json_body(adapter, items=items)), extra
