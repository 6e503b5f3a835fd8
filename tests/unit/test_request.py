"""How a worker describes the tasks it holds to whoever inspects it."""

from typing import Any

import orjson
from celery import Celery
from kombu import Message

from worker.metrics.ended import CountedRequest

SIGNATURE = "5e" * 32


def test_a_task_is_described_without_the_signature_of_its_pointer() -> None:
    app = Celery("test", set_as_current=False)

    @app.task(name="test.described", shared=False)
    def score(*pointer: object) -> None: ...

    arguments = ["organization", "job", 0, 1, SIGNATURE]
    headers = {"id": "job:0", "task": "test.described", "argsrepr": repr(arguments[:-1]), "kwargsrepr": "{}"}
    message: Any = Message(
        body=orjson.dumps([arguments, {}, {}]).decode(),
        headers=headers,
        content_type="application/json",
        content_encoding="utf-8",
        delivery_info={},
        properties={},
    )
    request: Any = CountedRequest(message, app=app, task=app.tasks["test.described"])
    for safe in (False, True):
        described = str(request.info(safe=safe))
        assert "organization" in described
        assert SIGNATURE not in described
