"""Publishing in two steps, as Instagram and Threads answer it: make a container, then publish it once."""

import time
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ops.stand_in.form import read_form
from ops.stand_in.graph import graph_error, manner_of, missing, moment, page_of, usage
from ops.stand_in.serve import Manner, serve
from ops.stand_in.world import Account, Medium, Record, World


@dataclass(frozen=True, slots=True)
class Words:
    """What one platform calls its parts, and what it allows."""

    platform: str
    version: str
    create: str
    publish: str
    status: str
    text: str
    characters: int
    needs_medium: bool
    can_delete: bool


INSTAGRAM = Words(
    platform="instagram",
    version="v25.0",
    create="media",
    publish="media_publish",
    status="status_code",
    text="caption",
    characters=2_200,
    needs_medium=True,
    can_delete=False,
)
THREADS = Words(
    platform="threads",
    version="v1.0",
    create="threads",
    publish="threads_publish",
    status="status",
    text="text",
    characters=500,
    needs_medium=False,
    can_delete=True,
)


def state_of(container: Medium) -> str:
    """Return the state of a container."""
    now = time.time()
    if container.is_published:
        return "PUBLISHED"
    if now >= container.expires_at:
        return "EXPIRED"
    return "IN_PROGRESS" if now < container.ready_at else "FINISHED"


@dataclass(frozen=True, slots=True)
class Server:
    """One of the two platforms."""

    words: Words
    manner: Manner

    async def create(self, request: Request, person: str) -> Response:
        """Make a container; the platform fetches its medium."""
        form, _ = await read_form(request)
        operation = "upload" if form.get("is_carousel_item") == "true" else "prepare"

        def work(world: World, account: Account) -> Response:
            wrong = self._wrong(account, person, form)
            return wrong or JSONResponse({"id": world.keep_medium(account, form).key})

        return await serve(request, self.manner, operation, work)

    def _wrong(self, account: Account, person: str, form: dict[str, str]) -> Response | None:
        if person != account.identifier:
            return graph_error(10, "Application does not have permission for this action")
        if len(form.get(self.words.text, "")) > self.words.characters:
            words = f"Param {self.words.text} must be at most {self.words.characters} characters long."
            return graph_error(100, words, 2207010)
        addresses = [form[name] for name in ("image_url", "video_url") if name in form]
        children = [key for key in form.get("children", "").split(",") if key]
        if self.words.needs_medium and not addresses and not children:
            return graph_error(9004, "Only photo or video can be accepted as media type.", 2207067)
        if not all(address.startswith("http") for address in addresses):
            return graph_error(9004, "The media could not be fetched from this URI", 2207052)
        if any(key not in account.media or state_of(account.media[key]) != "FINISHED" for key in children):
            return graph_error(9007, "Media ID is not available", 2207027)
        return None

    async def publish(self, request: Request, person: str) -> Response:
        """Publish a container, which works once."""
        form, _ = await read_form(request)
        key = form.get("creation_id", "")

        def work(world: World, account: Account) -> Response:
            container = account.media.get(key)
            if person != account.identifier or container is None:
                return graph_error(100, "The media with the given id does not exist", 2207006)
            if state_of(container) == "EXPIRED":
                return graph_error(24, "The media container has expired", 2207008)
            if state_of(container) != "FINISHED":
                return graph_error(9007, "Media ID is not available", 2207027)
            container.is_published = True
            return JSONResponse({"id": self._write(world, account, container)}, headers=usage(account))

        return await serve(request, self.manner, "publish", work, points=1)

    def _write(self, world: World, account: Account, container: Medium) -> str:
        form, key = container.value, str(world.next_number())
        children = [account.media[child].value for child in form.get("children", "").split(",") if child]
        media = children or ([form] if form.keys() & {"image_url", "video_url"} else [])
        shown = [
            {
                "url": part.get("image_url") or part.get("video_url"),
                "alt_text": part.get("alt_text", ""),
            }
            for part in media
        ]
        account.records[key] = Record(key, {"text": form.get(self.words.text, "")}, key, time.time(), shown)
        return key

    async def listed(self, request: Request, person: str) -> Response:
        """List what was published, newest first."""

        def work(world: World, account: Account) -> Response:
            if person != account.identifier:
                return missing(person)
            return page_of(request, [self._shown(record) for record in world.listed(account)])

        return await serve(request, self.manner, "probe", work)

    def _shown(self, record: Record) -> dict[str, Any]:
        host = "www.instagram.com/p" if self.words.platform == "instagram" else "www.threads.com/t"
        return {
            "id": record.key,
            self.words.text: record.value["text"],
            "timestamp": moment(record.created_at),
            "permalink": f"https://{host}/{record.key}/",
        }

    async def read(self, request: Request, key: str) -> Response:
        """Read a container's state, or a post's address."""

        def work(_: World, account: Account) -> Response:
            if key in account.media:
                return JSONResponse({"id": key, self.words.status: state_of(account.media[key])})
            record = account.records.get(key)
            return missing(key) if record is None else JSONResponse(self._shown(record))

        is_container = any(key in account.media for account in request.app.state.world.accounts.values())
        return await serve(request, self.manner, "probe" if is_container else "read", work)

    async def insights(self, request: Request, key: str) -> Response:
        """Read a post's counters."""
        names = request.query_params.get("metric", "").split(",")

        def work(_: World, account: Account) -> Response:
            if key not in account.records:
                return missing(key)
            counted = {"views": 120, "likes": 5, "comments": 1, "replies": 1, "shares": 2, "reposts": 2}
            rows = [
                {"name": name, "period": "lifetime", "values": [{"value": counted.get(name, 0)}]}
                for name in names
            ]
            return JSONResponse({"data": rows})

        return await serve(request, self.manner, "metrics", work)

    async def delete(self, request: Request, key: str) -> Response:
        """Delete a post, where the platform lets a program do that."""

        def work(_: World, account: Account) -> Response:
            if not self.words.can_delete:
                return graph_error(3, "Application does not have the capability to make this API call.")
            gone = account.records.pop(key, None) is None
            return missing(key) if gone else JSONResponse({"success": True, "deleted_id": key})

        return await serve(request, self.manner, "delete", work)

    async def me(self, request: Request) -> Response:
        """Say whose token this is."""

        def work(_: World, account: Account) -> Response:
            number = account.identifier
            return JSONResponse({"id": number, "user_id": number, "username": account.handle})

        return await serve(request, self.manner, "login", work)


def router_of(words: Words) -> APIRouter:
    """Return the routes of one platform."""
    server = Server(words, manner_of(words.platform))
    router = APIRouter(prefix=f"/{words.platform}/{words.version}")
    router.add_api_route("/me", server.me, methods=["GET"])
    router.add_api_route(f"/{{person}}/{words.create}", server.create, methods=["POST"])
    router.add_api_route(f"/{{person}}/{words.create}", server.listed, methods=["GET"])
    router.add_api_route(f"/{{person}}/{words.publish}", server.publish, methods=["POST"])
    router.add_api_route("/{key}/insights", server.insights, methods=["GET"])
    router.add_api_route("/{key}", server.read, methods=["GET"])
    router.add_api_route("/{key}", server.delete, methods=["DELETE"])
    return router
