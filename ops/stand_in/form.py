"""Forms that a client sends, as the platforms read them."""

from dataclasses import dataclass
from email import message_from_bytes
from urllib.parse import parse_qsl

from fastapi import Request

MULTIPART = "multipart/form-data"


@dataclass(frozen=True, slots=True)
class Part:
    """One binary part of a form."""

    content_type: str


async def read_form(request: Request) -> tuple[dict[str, str], dict[str, Part]]:
    """Return the fields and the binary parts of a request's body."""
    kind, body = request.headers.get("content-type", ""), await request.body()
    if not kind.startswith(MULTIPART):
        return dict(parse_qsl(body.decode(), keep_blank_values=True)), {}
    message = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    fields: dict[str, str] = {}
    parts: dict[str, Part] = {}
    for each in message.walk():
        name = each.get_param("name", header="content-disposition")
        if not isinstance(name, str):
            continue
        if each.get_filename() is not None:
            parts[name] = Part(each.get_content_type())
        else:
            content = each.get_payload(decode=True)
            fields[name] = content.decode() if isinstance(content, bytes) else ""
    return fields, parts
