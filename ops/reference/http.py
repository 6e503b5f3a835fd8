"""The HTTP interface, from its OpenAPI document."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from ops.reference.markdown import code, table

INTRODUCTION = """# The HTTP interface

From `/openapi.json`, which every intake serves. [The guide](../api.md) says how requests are authenticated,
repeated, limited and refused.

"""
VERBS = ("get", "post", "put", "patch", "delete")

Operation = tuple[str, str, Mapping[str, Any]]


def http_page(document: Mapping[str, Any]) -> str:
    """Return the page of an OpenAPI *document*."""
    operations = sorted(_operations(document), key=_resource)
    return INTRODUCTION + "".join(
        _section(resource, list(group)) for resource, group in groupby(operations, _resource)
    )


def _operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    for path, item in document["paths"].items():
        for verb in VERBS:
            if verb in item:
                yield path, verb, item[verb]


def _resource(operation: Operation) -> str:
    path = operation[0].removeprefix("/api/v1/").strip("/")
    return path.split("/")[0]


def _section(resource: str, operations: list[Operation]) -> str:
    rows = [
        (
            code(f"{verb.upper()} {path}"),
            operation.get("summary", ""),
            ", ".join(code(each["name"]) for each in operation.get("parameters", []) if each["in"] != "path"),
            code(_body(operation)),
            ", ".join(sorted(operation["responses"])),
        )
        for path, verb, operation in operations
    ]
    return f"\n## {resource}\n\n" + table(["request", "", "parameters", "body", "answers"], rows)


def _body(operation: Mapping[str, Any]) -> str:
    contents = operation.get("requestBody", {}).get("content", {})
    schemas = [content.get("schema", {}).get("$ref", "") for content in contents.values()]
    return ", ".join(dict.fromkeys(name.rpartition("/")[2] for name in schemas if name))
