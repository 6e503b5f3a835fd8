"""What a platform would refuse for its content, found before anything is sent."""

from collections.abc import Sequence
from typing import Any

from tasks.social_posting.platform import Platform


def problems(platform: Platform, text: str, media: Sequence[Any]) -> list[str]:
    """Return why the platform would refuse the post; empty when it would not."""
    limits, found = platform.limits, []
    if not text.strip() and not media:
        found.append("the post is empty")
    length = platform.length(text)
    if length > limits.characters:
        found.append(f"the text has {length} characters, {limits.characters} are allowed")
    size = len(text.encode())
    if limits.bytes is not None and size > limits.bytes:
        found.append(f"the text has {size} bytes, {limits.bytes} are allowed")
    if len(media) > limits.media:
        found.append(f"{len(media)} media are attached, {limits.media} are allowed")
    return found
