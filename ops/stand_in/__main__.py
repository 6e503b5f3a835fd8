"""Run the stand-in server: `python -m ops.stand_in --port 8099`."""

import socket
from typing import Annotated

import typer
import uvicorn

from ops.stand_in.app import create_app

LOOPBACK = "127.0.0.1"


def main(port: Annotated[int, typer.Option(help="0 takes a free one.")] = 0) -> None:
    """Serve on loopback until stopped; the first line printed is the server's URL."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        typer.echo(f"http://{LOOPBACK}:{listener.getsockname()[1]}")
        config = uvicorn.Config(create_app(), http="h11", log_level="warning", access_log=False)
        uvicorn.Server(config).run(sockets=[listener])


typer.run(main)
