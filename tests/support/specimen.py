"""Requests made from the OpenAPI document: for every route one that is well formed."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import quote, urlencode
from uuid import uuid4

import httpx

Json = Any
Pick = Callable[[str], str]
"""Says which id stands where: takes the name of a parameter or field, or of a collection of items."""

KNOWN: Mapping[str, Json] = {
    "kind": "analytics.rollup",
    "payload": {},
    "cron": "0 3 * * *",
    "time_zone": "Europe/Vienna",
    "currency": "EUR",
    "colour": "#1a73e8",
    "platform": "bluesky",
    "url": "https://hooks.example.org/in",
    "server_url": None,
    "redirect_url": None,
    "interval_seconds": None,
    "published": False,
    "logo": None,
    "text": "Hello",
    "email": "ann@example.org",
    "external_id": "from elsewhere",
    "remote_id": None,
    "handle": "ann.test",
    "first": "2026-01-01",
    "last": "2026-01-02",
    "expires_at": "4102444800",
    "signature": "0" * 64,
    "version": "1",
    "plan": "enterprise",
    "feature": "basic_social",
    "key": "campaigns.currency",
}
"""What a schema cannot say, by name."""

FORMATS: Mapping[str, Json] = {
    "date-time": "2026-01-31T09:00:00Z",
    "date": "2026-01-31",
    "uri": "https://example.org/",
    "email": "ann@example.org",
    "binary": "x",
}


@dataclass(frozen=True)
class Sample:
    """One request."""

    method: str
    route: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: Json = None
    media_type: str | None = None

    def with_(self, **changes: Any) -> Self:
        return replace(self, **changes)

    def send(self, client: httpx.Client, headers: Mapping[str, str]) -> httpx.Response:
        """Send it as the caller whom *headers* name; the request's own headers add to theirs."""
        every = [*headers.items(), *self.headers]
        if self.media_type is not None:
            every.append(("Content-Type", self.media_type))
        return client.request(self.method, self.target, headers=every, content=self.content)

    @property
    def target(self) -> str:
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path

    @property
    def content(self) -> bytes | None:
        if self.media_type is None:
            return None
        return json.dumps(self.body).encode() if "json" in self.media_type else str(self.body).encode()

    @property
    def said(self) -> bytes:
        """All that the request says, for who looks for echoes."""
        headers = "\n".join(f"{name}: {value}" for name, value in self.headers)
        return f"{self.target}\n{headers}\n".encode() + (self.content or b"")


class Document:
    """An OpenAPI document, as a maker of requests."""

    def __init__(self, document: Json) -> None:
        self._document = document

    def operations(self) -> Iterator[tuple[str, str, Json]]:
        """Yield method, route and declaration of every operation."""
        for route, methods in self._document["paths"].items():
            for method, operation in methods.items():
                yield method.upper(), route, operation

    def samples(self, pick: Pick | None = None) -> Iterator[Sample]:
        """Yield one request for each operation; *pick* says which ids it names, or they are random."""
        for method, route, operation in self.operations():
            yield self.sample(method, route, operation, pick or (lambda _: str(uuid4())))

    def sample(self, method: str, route: str, operation: Json, pick: Pick) -> Sample:
        path, query = route, []
        for parameter in operation.get("parameters", ()):
            name, schema = parameter["name"], self._resolved(parameter["schema"])
            if parameter["in"] == "path":
                name = re.findall(r"([^/]+)/{item_id}", route)[0] if name == "item_id" else name
                path = path.replace(
                    f"{{{parameter['name']}}}", quote(str(self._value(name, schema, pick)), safe="")
                )
            elif parameter["in"] == "query" and parameter.get("required"):
                query.append((name, str(self._value(name, schema, pick))))
        sample = Sample(method, route, path, tuple(query))
        content = operation.get("requestBody", {}).get("content", {})
        for media_type, declared in content.items():
            body = self._value("", self._resolved(declared["schema"]), pick)
            return sample.with_(media_type=media_type, body=body)
        return sample

    def bodies(self) -> Iterator[tuple[str, str, Json]]:
        """Yield method, route and schema of every JSON body."""
        for method, route, operation in self.operations():
            content = operation.get("requestBody", {}).get("content", {})
            if "application/json" in content:
                yield method, route, content["application/json"]["schema"]

    def resolve(self, schema: Json) -> Json:
        """Return *schema*, or what it refers to."""
        return self._resolved(schema)

    def _resolved(self, schema: Json) -> Json:
        while "$ref" in schema:
            place = self._document
            for step in schema["$ref"].removeprefix("#/").split("/"):
                place = place[step]
            schema = place
        return schema

    def _value(self, name: str, schema: Json, pick: Pick) -> Json:
        schema = self._resolved(schema)
        for choice in ("oneOf", "anyOf", "allOf"):
            if choice in schema:
                return self._chosen(name, schema[choice], pick)
        if name in KNOWN:
            return KNOWN[name]
        if schema.get("format") == "uuid":
            return pick(name)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][0]
        return self._of_type(name, schema, pick)

    def _chosen(self, name: str, choices: list[Json], pick: Pick) -> Json:
        known = KNOWN.get("kind")
        resolved = [self._resolved(one) for one in choices]
        for one in resolved:
            if one.get("properties", {}).get("kind", {}).get("const") == known:
                return self._value(name, one, pick)
        return self._value(name, next(one for one in resolved if one.get("type") != "null"), pick)

    def _of_type(self, name: str, schema: Json, pick: Pick) -> Json:
        match schema.get("type"):
            case "object":
                return self._object(schema, pick)
            case "array":
                items = schema.get("items", schema.get("prefixItems", [{}])[0])
                return [
                    self._value(name.removesuffix("s"), items, pick) for _ in range(schema.get("minItems", 0))
                ]
            case "integer" | "number":
                return schema.get("default", max(schema.get("minimum", 1), 1))
            case "boolean":
                return False
            case "string":
                return FORMATS.get(schema.get("format", ""), "text"[: schema.get("maxLength", 4)])
            case _:
                return None

    def _object(self, schema: Json, pick: Pick) -> Json:
        properties = schema.get("properties", {})
        return {name: self._value(name, properties[name], pick) for name in schema.get("required", ())}
