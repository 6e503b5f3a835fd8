"""Attempts by headers, methods, origins and the shape of a request on the wire."""

import http.server
import io
import json
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote
from uuid import UUID

import pytest
from fastapi import Request
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.stdlib import ProcessorFormatter

import intake.observe
from intake.auth import Identity, identify
from intake.auth.caller import _scheme
from tests.attacks.http.careless import answer, behind, identified
from tests.support.two_tenants import World

API = "/api/v1"
TENANT_HEADERS = ("X-Tenant-ID", "X-Organization-Id", "X-Forwarded-User", "X-User-Id", "X-Original-Tenant")


def raw(world: World, request: bytes) -> bytes:
    """Send bytes as they are, and return all that comes back."""
    host, port = world.client.base_url.host, world.client.base_url.port or 80
    return exchange(host, port, request)


def exchange(host: str, port: int, request: bytes) -> bytes:
    with socket.create_connection((host, port), timeout=60) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while piece := connection.recv(65_536):
            received += piece
        return received


@pytest.mark.parametrize("name", TENANT_HEADERS)
def test_a_header_names_no_tenant(world: World, name: str) -> None:
    def attempt() -> bool:
        headers = world.mine.headers() | {name: str(world.theirs.organization_id)}
        shown = world.client.get(f"{API}/campaigns", headers=headers)
        return world.theirs.marker in shown.text

    async def believing(request: Request) -> Identity:
        sound = await identify(request, await _scheme(request))
        given = request.headers.get(name)
        return sound if given is None else Identity(UUID(given), *_rest(sound))

    with identified(world, believing):
        assert attempt()
    assert not attempt()


def _rest(identity: Identity) -> tuple[object, ...]:
    return identity.user_id, identity.permissions, identity.issued_at, identity.token_id, identity.limits


def test_a_token_in_a_cookie_is_no_token(world: World) -> None:
    """A page elsewhere could send it along."""
    token = world.mine.headers()["Authorization"].partition(" ")[2]

    def attempt() -> bool:
        shown = world.client.get(
            f"{API}/campaigns", headers={"Cookie": f"token={token}; Authorization={token}"}
        )
        return shown.is_success

    async def by_cookie(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        bearer = [(b"authorization", b"Bearer " + token.encode())]
        await app(scope | {"headers": [*scope["headers"], *bearer]}, receive, send)

    with behind(by_cookie):
        assert attempt()
    assert not attempt()


def test_of_two_tokens_none_is_taken(world: World) -> None:
    """What stands before us may have looked at the other one."""

    def attempt() -> bool:
        both = [*world.mine.headers().items(), *world.theirs.headers().items()]
        return world.client.get(f"{API}/campaigns", headers=both).is_success

    async def the_last(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        await app(scope | {"headers": list(headers.items())}, receive, send)

    with behind(the_last):
        assert attempt()
    assert not attempt()


def test_a_host_header_is_in_no_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def attempt() -> bool:
        shown = world.client.get(f"{API}/campaigns/", headers=world.mine.headers() | {"Host": "evil.example"})
        return "evil.example" in f"{shown.headers} {shown.text}"

    with monkeypatch.context() as broken:
        broken.setattr(world.app.router, "redirect_slashes", True)
        assert attempt()
    assert not attempt()


def test_a_method_is_not_overridden(world: World) -> None:
    made = world.client.post(f"{API}/campaigns", json={"name": "kept"}, headers=world.mine.headers())
    path = f"{API}/campaigns/{made.json()['id']}"

    def attempt() -> bool:
        headers = world.mine.headers() | {"X-HTTP-Method-Override": "DELETE", "X-HTTP-Method": "DELETE"}
        world.client.get(path, headers=headers, params={"_method": "DELETE"})
        return world.client.get(path, headers=world.mine.headers()).status_code == 404

    async def overridden(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        asked = dict(scope["headers"]).get(b"x-http-method-override")
        await app(scope | ({} if asked is None else {"method": asked.decode()}), receive, send)

    assert not attempt()
    with behind(overridden):
        assert attempt()


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_no_page_elsewhere_may_read_an_answer(world: World, origin: str) -> None:
    def attempt() -> bool:
        headers = world.mine.headers() | {"Origin": origin, "Access-Control-Request-Method": "GET"}
        shown = [
            world.client.request(method, f"{API}/campaigns", headers=headers) for method in ("GET", "OPTIONS")
        ]
        return any("access-control-allow-origin" in each.headers for each in shown)

    async def open_to_all(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        await CORSMiddleware(app, allow_origins=["*"], allow_credentials=True)(scope, receive, send)

    with behind(open_to_all):
        assert attempt()
    assert not attempt()


@pytest.mark.parametrize("method", ["TRACE", "TRACK", "DEBUG"])
def test_no_method_sends_a_request_back(world: World, method: str) -> None:
    def attempt() -> bool:
        token = world.mine.headers()["Authorization"]
        head = f"{method} {API}/campaigns HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n"
        return token.encode() in raw(world, head.encode())

    async def echoing(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, 200, b"\n".join(value for _, value in scope["headers"]))

    with behind(echoing):
        assert attempt()
    assert not attempt()


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_no_method_beside_the_declared_ones_tells_what_exists(world: World, method: str) -> None:
    theirs = f"{API}/campaigns/{world.theirs.made['campaigns'][0]}"
    nobodys = f"{API}/campaigns/0193b1a0-0000-7000-8000-000000000001"

    def attempt() -> bool:
        told = [
            world.client.request(method, path, headers=world.mine.headers()) for path in (theirs, nobodys)
        ]
        heads = [{**each.headers, "x-request-id": "", "date": ""} for each in told]
        return told[0].status_code != told[1].status_code or heads[0] != heads[1]

    async def careless(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        known = world.theirs.made["campaigns"][0] in scope["path"]
        await answer(send, 200 if known else 404, b"")

    with behind(careless):
        assert attempt()
    assert not attempt()


FORGED = '{"event": "login", "user": "forged"}'
FORGERIES = {
    "path": f"{API}/nothing%0d%0a{FORGED}",
    "query": f"{API}/campaigns?name=%0d%0a{FORGED}",
    "kind": f"{API}/jobs?kind=a%0a{FORGED}",
}


@contextmanager
def logged(*, plainly: bool = False) -> Iterator[io.StringIO]:
    """Catch what the intake logs, as an operator reads it, or as a careless one would have it written."""
    root, written = logging.getLogger(), io.StringIO()
    [sound] = [h.formatter for h in root.handlers if isinstance(h.formatter, ProcessorFormatter)]
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(message)s") if plainly else sound)
    root.addHandler(handler)
    yield written
    root.removeHandler(handler)


@pytest.mark.parametrize("place", FORGERIES)
def test_no_line_of_the_log_is_forged(world: World, place: str) -> None:
    def attempt(*, plainly: bool = False) -> bool:
        with logged(plainly=plainly) as written:
            world.client.get(FORGERIES[place], headers=world.mine.headers())
            body = {"name": f"x\n{FORGED}"}
            world.client.post(f"{API}/campaigns", json=body, headers=world.mine.headers())
        return FORGED in written.getvalue().splitlines()

    async def telling(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        logging.getLogger("careless").warning("%s", scope["path"] + unquote(scope["query_string"].decode()))
        await app(scope, receive, send)

    with behind(telling):
        assert attempt(plainly=True)
    assert not attempt()


@pytest.mark.parametrize("given", ['a" onload="x', "a b", "x" * 65, "{{7*7}}", "a\\u001b[2J"])
def test_a_request_id_is_taken_only_when_it_is_a_name(
    world: World, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    def attempt() -> bool:
        shown = world.client.get(f"{API}/campaigns", headers=world.mine.headers() | {"X-Request-ID": given})
        return shown.headers["x-request-id"] == given

    with monkeypatch.context() as broken:
        broken.setattr(intake.observe, "_request_id", lambda *_: given)
        assert attempt()
    assert not attempt()


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
SHAPES = {
    "both lengths": b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n",
    "obscured encoding": b"Content-Length: %d\r\nTransfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n",
    "two lengths": b"Content-Length: %d\r\nContent-Length: 5\r\n",
    "space before the colon": b"Content-Length: %d\r\nTransfer-Encoding : chunked\r\n",
}


class Naive(http.server.BaseHTTPRequestHandler):
    """Believes the first length, and takes what follows for the next request."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(5)
        self._say(b"posted")

    def do_GET(self) -> None:
        self._say(b"got " + self.path.encode())

    def _say(self, words: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(words)))
        self.end_headers()
        self.wfile.write(words)

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def naive() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Naive) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("shape", SHAPES)
def test_no_second_request_is_smuggled_in_a_first(world: World, shape: str) -> None:
    body = b"0\r\n\r\n" + SMUGGLED
    headers = SHAPES[shape] % len(body)
    request = b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n" + body

    def answers(received: bytes) -> int:
        return received.count(b"HTTP/1.1 ")

    with naive() as port:
        assert answers(exchange("127.0.0.1", port, request)) == 2
    assert answers(raw(world, request)) == 1


@pytest.mark.parametrize("type_", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_body_is_json_whatever_it_is_called(world: World, type_: str) -> None:
    """A form that a page elsewhere posts is no request here, and it carries no token."""
    form = b"name=from+a+form&organization_id=1"

    def attempt() -> bool:
        headers = world.mine.headers() | {"Content-Type": type_}
        return world.client.post(f"{API}/campaigns", content=form, headers=headers).is_success

    async def reading_forms(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        async def as_json() -> dict[str, object]:
            await receive()
            return {
                "type": "http.request",
                "body": json.dumps({"name": "from a form"}).encode(),
                "more_body": False,
            }

        await app(scope, as_json, send)

    with behind(reading_forms):
        assert attempt()
    assert not attempt()
