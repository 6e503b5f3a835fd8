"""Read what a Kombu message says to the queue, and write one without Kombu."""

import json
import re
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import orjson
from kombu.utils.json import dumps, loads

from worker.fairshare.kombu_base import MessageBase
from worker.fairshare.queue import Entry, Reserved, TenantSettings

DEFAULT_TENANT = "default"
TYPED = b'"__type__"'
"""Kombu's mark of a value that plain JSON cannot hold."""
LONG_NUMBER = re.compile(rb"[0-9]{19}")
"""What may be a whole number of more than 64 bits, which orjson would round."""

JSON = "application/json"

_SETTINGS = ("weight", "cap", "soft_cap", "max_backlog")


class Message(MessageBase):  # type: ignore[misc] # Kombu ships no types
    """A message, built and decoded without the detours of the general case."""

    def __init__(self, payload: dict[str, Any], channel: Any = None, **kwargs: Any) -> None:
        properties, headers, body = payload["properties"], payload.get("headers") or {}, payload.get("body")
        if properties.get("body_encoding") != "utf-8" or headers.get("compression") or kwargs or not body:
            super().__init__(payload, channel=channel, **kwargs)
            return
        self._raw = payload
        self.errors: list[Any] = []
        self.channel = channel
        self.delivery_tag = properties["delivery_tag"]
        self.content_type = payload.get("content-type")
        self.content_encoding = payload.get("content-encoding")
        self.delivery_info = properties.get("delivery_info") or {}
        self.headers = headers
        self.properties = properties
        self.body = body.encode()
        self.accept = None
        self._decoded_cache = None
        self._state = "RECEIVED"

    def _decode(self) -> Any:
        body = self.body
        if (
            self.content_type == JSON
            and self.accept
            and JSON in self.accept
            and TYPED not in body
            and not LONG_NUMBER.search(body)
        ):
            with suppress(orjson.JSONDecodeError):  # what only the other one reads: NaN, very large numbers
                return orjson.loads(body)
        return super()._decode()


def encode(message: dict[str, Any]) -> str:
    """Spell a Kombu message as it is stored."""
    text: str = dumps(message)
    return text


def decode(raw: bytes) -> dict[str, Any]:
    """Read a stored message."""
    message: dict[str, Any] = loads(raw.decode()) if TYPED in raw else orjson.loads(raw)
    return message


def delivery_of(job: Reserved, tag: str) -> dict[str, Any]:
    """Return the message as published, except that it names this lease and the tenant who pays for it."""
    payload = decode(job.message)
    payload["properties"]["delivery_tag"] = tag
    payload["headers"]["tenant"] = job.tenant
    if job.tries:
        payload["headers"]["redelivered"] = True
        payload["properties"].setdefault("delivery_info", {})["redelivered"] = True
    return payload


def entry_of(message: dict[str, Any], defaults: TenantSettings) -> Entry:
    """Return the entry of a Kombu message that is about to be queued.

    A moment in the header ``eta`` becomes the entry's due time and is taken out of the message: a worker
    must never hold a job of the future.
    """
    headers = message["headers"]
    fair = headers.get("fair") or {}
    due = _moment(headers.get("eta"))
    if headers.get("eta"):
        message["headers"] = {**headers, "eta": None}
    return Entry(
        job=_identity(message, fair),
        message=encode(message),
        tenant=str(headers.get("tenant") or DEFAULT_TENANT),
        kind=fair.get("kind") or headers.get("task") or "",
        due=due,
        head_start=timedelta(milliseconds=fair.get("priority_ms") or 0),
        must=bool(headers.get("retries") or headers.get("parent_id")),
        settings=_settings(fair, defaults),
    )


def _identity(message: dict[str, Any], fair: dict[str, Any]) -> str:
    """Return the job's identity; a retry has its own, being queued while its forerunner is leased."""
    given = fair.get("id")
    if not given:
        return str(message["properties"]["delivery_tag"])
    retries = message["headers"].get("retries")
    return f"{given}:{retries}" if retries else str(given)


def _settings(fair: dict[str, Any], defaults: TenantSettings) -> str:
    given = {name: fair[name] for name in _SETTINGS if fair.get(name) is not None}
    if not given:
        return defaults.to_json()
    known = {name: getattr(defaults, name) for name in _SETTINGS}
    return json.dumps({**{name: value for name, value in known.items() if value is not None}, **given})


def _moment(eta: str | datetime | None) -> datetime | None:
    """Return the moment of an ``eta`` header; one without a zone is local time, as Celery means it."""
    if not eta:
        return None
    moment = datetime.fromisoformat(eta) if isinstance(eta, str) else eta
    return moment.astimezone() if moment.tzinfo is None else moment


TASK_HEADERS: dict[str, Any] = {
    "lang": "py",
    "parent_id": None,
    "group": None,
    "eta": None,
    "expires": None,
    "retries": 0,
    "timelimit": [None, None],
    "argsrepr": "",
    "kwargsrepr": "",
    "ignore_result": True,
}
NO_CANVAS = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def task_message(lane: str, task: str, *, task_id: str, args: list[Any], headers: dict[str, Any]) -> bytes:
    """Write a Celery task message (protocol 2, JSON) for ``Entry.message``, cheaper than ``apply_async``.

    *args* are positional and plain JSON; *headers* are overrides and additions, such as ``tenant``,
    ``retries``, ``timelimit`` or ``kwargsrepr``.
    """
    own = {"task": task, "id": task_id, "root_id": task_id}
    properties = {
        "correlation_id": task_id,
        "reply_to": "",
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": lane},
        "priority": 0,
        "body_encoding": "utf-8",
        "delivery_tag": task_id,
    }
    return orjson.dumps(
        {
            "body": orjson.dumps([args, {}, NO_CANVAS]).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {**TASK_HEADERS, **own, **headers},
            "properties": properties,
        }
    )
