"""Publishing in two steps, as on Instagram and Threads: a container's id is the key, its status the truth."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tasks.social_posting.adapter import CLOCK_DIFFERENCE, moment_of
from tasks.social_posting.content import Content, Medium
from tasks.social_posting.error import (
    AlreadyPublishedError,
    PermanentContentError,
    PlatformError,
    StaleIntentError,
    StaleUploadsError,
    TryAgainError,
    UnknownOutcomeError,
    nothing_visible,
)
from tasks.social_posting.meta import MetaAdapter
from tasks.social_posting.platform import Account, Intent, Published

PAGE = 50
MOST_PAGES = 4
STILL_WORKING = timedelta(seconds=5)
NOT_LISTED_YET = timedelta(seconds=30)
LISTED_WITHIN = timedelta(minutes=10)
"""A published post that is not listed after so long is taken for out without its id."""
CONTAINER = "container:"
"""Marks a reference that is a container of its own."""


@dataclass(frozen=True, slots=True)
class Words:
    """What one platform calls its parts."""

    create: str
    """Edge under which containers are made."""
    publish: str
    listed: str
    """Edge that lists what was published."""
    status: str
    reason: str
    """Field that says why a container failed."""
    text: str


class ContainerAdapter(MetaAdapter):
    """Base of the platforms that publish in two steps."""

    words: Words

    @abstractmethod
    def described(self, medium: Medium) -> dict[str, str]:
        """Return the parameters that hand a medium over by its address."""

    def upload(self, account: Account, access_token: str, medium: Medium, *, count: int = 1) -> str:
        """Make a container of one of several media; one alone goes into the post's own."""
        if medium.url is None:
            raise PermanentContentError("the platform fetches media and this one has no public address")
        if count == 1:
            return medium.url
        with nothing_visible():
            part = self.described(medium) | {"is_carousel_item": "true"}
            return CONTAINER + self._create(account, access_token, part)

    def prepare(
        self, account: Account, access_token: str, content: Content, *, uploads: Sequence[str], at: datetime
    ) -> Intent:
        """Make the post's container; nothing is visible until it is published."""
        form = {self.words.text: content.text} if content.text else {}
        if len(content.media) == 1:
            form |= self.described(content.media[0])
        elif content.media:
            form |= {"media_type": "CAROUSEL", "children": ",".join(self._children(access_token, uploads))}
        else:
            form |= {"media_type": "TEXT"}
        with nothing_visible():
            key = self._create(account, access_token, form)
        return Intent(key, {"creation_id": key, "text": content.text}, at)

    def _children(self, token: str, uploads: Sequence[str]) -> Iterator[str]:
        for reference in uploads:
            child = reference.removeprefix(CONTAINER)
            self._await(token, child, StaleUploadsError("a medium's container has expired"))
            yield child

    def _create(self, account: Account, token: str, form: Mapping[str, str]) -> str:
        made = self.post(token, f"{account.remote_id}/{self.words.create}", **form)
        if not made.field("id"):
            raise TryAgainError("the platform made a container without an id")
        return str(made.field("id"))

    def publish(self, account: Account, access_token: str, intent: Intent) -> Published:
        """Publish the container, once it is ready."""
        self._await(access_token, intent.key, StaleIntentError("the container has expired"))
        path = f"{account.remote_id}/{self.words.publish}"
        made = self.post(access_token, path, creation_id=intent.key)
        if not made.field("id"):
            raise UnknownOutcomeError("the platform answered a post without its id")
        return Published(str(made.field("id")), self._link(access_token, str(made.field("id"))))

    def probe(
        self, account: Account, access_token: str, intent: Intent, *, known: frozenset[str]
    ) -> Published | None:
        """Ask the container, which can be published only once."""
        state, _ = self._state(access_token, intent.key)
        if state != "PUBLISHED":
            return None
        return self._find(account, access_token, intent, known)

    def _state(self, token: str, container: str) -> tuple[str, str]:
        """Return the state of a container and the reason for it."""
        fields = f"{self.words.status},{self.words.reason}"
        answer = self.get(token, container, fields=fields)
        return str(answer.field(self.words.status)), str(answer.field(self.words.reason) or "no reason given")

    def _await(self, token: str, container: str, stale: PlatformError) -> None:
        """Return when the container is ready; raise what else it is."""
        match self._state(token, container):
            case "IN_PROGRESS", _:
                raise TryAgainError("the platform still works on a medium", after=STILL_WORKING)
            case "EXPIRED", _:
                raise stale
            case "PUBLISHED", _:
                raise AlreadyPublishedError("the container is published")
            case "ERROR", reason:
                raise PermanentContentError(f"the platform could not take a medium: {reason}")

    def _find(self, account: Account, token: str, intent: Intent, known: frozenset[str]) -> Published:
        """Return the post of a published container: the container does not tell its id."""
        text, since = str(intent.body["text"]), intent.at - CLOCK_DIFFERENCE
        for post in self._listed(account, token):
            if moment_of(post["timestamp"]) < since:
                break
            if post["id"] not in known and str(post.get(self.words.text) or "") == text:
                return Published(str(post["id"]), str(post.get("permalink") or ""))
        if datetime.now(UTC) - intent.at < LISTED_WITHIN:
            raise TryAgainError("the post is out and not listed yet", after=NOT_LISTED_YET)
        return Published(CONTAINER + intent.key, "")

    def _listed(self, account: Account, token: str) -> Iterator[Mapping[str, Any]]:
        fields = f"id,{self.words.text},timestamp,permalink"
        path = f"{account.remote_id}/{self.words.listed}"
        return self.pages(token, path, most=MOST_PAGES, fields=fields, limit=str(PAGE))

    def _link(self, token: str, post_id: str) -> str:
        """Return the post's address; the post is out, so not knowing it is no failure."""
        try:
            return str(self.get(token, post_id, fields="permalink").field("permalink") or "")
        except PlatformError:
            return ""
