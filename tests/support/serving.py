"""A real intake: uvicorn in a thread."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from tests.support.wait import wait_until


@contextmanager
def serve(app: FastAPI) -> Iterator[str]:
    """Serve the application and yield its URL."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
    # Named TCP, so that asyncio turns off Nagle's delay of 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            wait_until(lambda: server.started or not thread.is_alive(), 60)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
