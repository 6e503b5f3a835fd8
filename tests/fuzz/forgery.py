"""Requests of one tenant that name what is another's, in every place that a request has."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

from tests.support.furnish import job_key
from tests.support.specimen import Document, Sample
from tests.support.two_tenants import Side, World

TENANT_HEADERS = ("X-Tenant-ID", "X-Organization-Id", "X-Org-Id", "X-Account", "Tenant", "X-Original-Tenant")
TENANT_PARAMETERS = ("organization_id", "tenant_id", "tenant", "org", "owner_id", "user_id")
HOSTS = ("Host", "X-Forwarded-Host", "X-Original-Host", "Forwarded")
FORWARDED = ("X-Forwarded-For", "X-Real-IP", "X-Forwarded-User", "X-Remote-User", "X-User-Id")
PATHS = ("X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override")


@dataclass(frozen=True)
class Loot:
    """What a tenant could have seen of another: ids, cursors, tags and keys."""

    ids: Mapping[str, Sequence[str]]
    organization_id: str
    cursors: Sequence[str]
    tags: Sequence[str]
    keys: Sequence[str]


def loot(world: World, side: Side) -> Loot:
    """Take them from the answers that *side* itself gets."""
    cursors, tags = [], []
    for sample in Document(world.app.openapi()).samples(lambda name: side.made.get(name, [""])[0]):
        if sample.method != "GET":
            continue
        answer = sample.with_(query=(*sample.query, ("limit", "1"))).send(world.client, side.headers())
        if "etag" in answer.headers:
            tags.append(answer.headers["etag"])
        cursors.extend(_cursor(answer))
    keys = [job_key(side, number) for number in range(2)]
    return Loot(side.made, str(side.organization_id), cursors, tags, keys)


def _cursor(answer: httpx.Response) -> Iterator[str]:
    if answer.headers.get("content-type", "").startswith("application/json"):
        document = answer.json()
        if isinstance(document, dict) and document.get("next_cursor"):
            yield document["next_cursor"]


class Forger:
    """Makes forged requests: the same ones for the same *seed*."""

    def __init__(self, document: Document, mine: Side, taken: Loot, seed: int) -> None:
        self._document = document
        self._mine = mine
        self._taken = taken
        self._random = random.Random(seed)

    def requests(self, rounds: int) -> Iterator[Sample]:
        """Yield *rounds* requests for every operation; in the first, every id is the other tenant's."""
        for number in range(rounds):
            for method, route, operation in self._document.operations():
                sample = self._document.sample(method, route, operation, self._picks(number))
                yield sample if number == 0 else self._forged(sample, operation)

    def _picks(self, number: int) -> Any:
        def pick(name: str) -> str:
            if name == "organization_id":
                return self._taken.organization_id
            theirs = self._taken.ids.get(name) or self._any(self._taken.ids)
            if number == 0:
                return theirs[0]
            mine = self._mine.made.get(name) or [str(self._mine.organization_id)]
            return self._random.choice(self._random.choice([theirs, theirs, mine, [str(uuid4())]]))

        return pick

    def _any(self, ids: Mapping[str, Sequence[str]]) -> Sequence[str]:
        return self._random.choice([each for each in ids.values() if each])

    def _forged(self, sample: Sample, operation: Any) -> Sample:
        sample = sample.with_(query=(*sample.query, *self._query(operation)), headers=tuple(self._headers()))
        if isinstance(sample.body, dict) and self._random.random() < 0.3:
            name = self._random.choice(TENANT_PARAMETERS)
            return sample.with_(body={**sample.body, name: self._taken.organization_id})
        return sample

    def _query(self, operation: Any) -> Iterator[tuple[str, str]]:
        names = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"]
        if "cursor" in names and self._taken.cursors and self._random.random() < 0.6:
            yield "cursor", self._random.choice(self._taken.cursors)
        if "limit" in names:
            yield "limit", "200"
        for name in names:
            if name.endswith("_id") and self._random.random() < 0.7:
                yield name, self._random.choice(self._taken.ids.get(name) or self._any(self._taken.ids))
        if self._random.random() < 0.4:
            yield self._random.choice(TENANT_PARAMETERS), self._taken.organization_id

    def _headers(self) -> Iterator[tuple[str, str]]:
        for name in self._random.sample(TENANT_HEADERS, 2):
            yield name, self._taken.organization_id
        yield self._random.choice(FORWARDED), self._random.choice(["127.0.0.1", self._taken.organization_id])
        if self._random.random() < 0.3:
            yield self._random.choice(HOSTS), f"{self._taken.organization_id}.example.org"
        if self._random.random() < 0.2:
            yield self._random.choice(PATHS), f"/api/v1/organizations/{self._taken.organization_id}"
        if self._taken.tags and self._random.random() < 0.4:
            yield self._random.choice(["If-None-Match", "If-Match"]), self._random.choice(self._taken.tags)
        if self._random.random() < 0.3:
            yield "Idempotency-Key", self._random.choice(self._taken.keys)
