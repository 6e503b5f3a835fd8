"""Forgets what lies outside our tables: posts on their platforms, media, archives of exports, caches."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import redis
from sqlalchemy import ColumnElement, Text, cast, func, select, true, update

from config.settings import get_settings
from models.content import ContentAsset
from models.privacy import PrivacyRequest, RequestKind, RequestState
from models.social import PostState, SocialPost
from tasks.media_store import get_media_store
from tasks.payloads import DeletePost
from tasks.privacy.archive import get_archives, remove_archive
from tasks.privacy.asset import holds, mentions
from tasks.privacy.task import Erasure
from tasks.social_posting.afterwards import delete_post
from worker.context import PermanentJobError, RetryLaterError

ON_ITS_WAY = (PostState.PUBLISHING, PostState.UNKNOWN)
OUT = (PostState.PUBLISHED, PostState.REMOVING)
SOON = timedelta(seconds=10)
KEYS_AT_ONCE = 1_000


def remove_posts(erasure: Erasure) -> Mapping[str, Any]:
    """Take back posts that mention the person, or all; what a platform keeps is told, for a person to act.

    Raises:
        RetryLaterError: One is on its way, or a platform takes no call now.
    """
    removed, left = 0, []
    for post_id, state in _posts(erasure):
        erasure.job.check()
        if state in ON_ITS_WAY:
            raise RetryLaterError("a post is on its way: what became of it must be known first", after=SOON)
        if state in OUT:
            try:
                delete_post(erasure.job, DeletePost(post_id=post_id, erase=True))
            except PermanentJobError:
                left.append(str(post_id))
                continue
        else:
            _drop(erasure, post_id)
        removed += 1
    return {"removed": removed, "left": left}


def _posts(erasure: Erasure) -> list[tuple[UUID, str]]:
    posts = select(SocialPost.id, SocialPost.state).where(
        SocialPost.state != PostState.REMOVED, _mentions(erasure)
    )
    with erasure.transaction() as session:
        erasure.take_time(session)
        found = session.execute(posts.execution_options(include_deleted=True))
        return [(post_id, state) for post_id, state in found]


def _mentions(erasure: Erasure) -> ColumnElement[bool]:
    if erasure.person is None:
        return true()
    said = func.concat_ws(
        "\n", SocialPost.body, cast(SocialPost.media, Text), cast(SocialPost.frozen_body, Text)
    )
    return said.op("~*")(erasure.person.pattern)


def _drop(erasure: Erasure, post_id: UUID) -> None:
    """Remove a post that is not out: the job that would publish it finds it removed."""
    with erasure.transaction() as session:
        session.execute(
            update(SocialPost)
            .where(SocialPost.id == post_id, SocialPost.state.not_in((*ON_ITS_WAY, *OUT)))
            .values(
                state=PostState.REMOVED,
                revision=SocialPost.revision + 1,
                deleted_at=datetime.now(UTC),
                body="",
                media=[],
                uploads=[],
                frozen_body=None,
                error_detail=None,
            )
            .execution_options(include_deleted=True, synchronize_session=False)
        )


def remove_media(erasure: Erasure) -> Mapping[str, int]:
    """Delete the files of media that tell of the person, by their words or their own bytes; or all."""
    store, removed = get_media_store(), 0
    for asset_id, key, said in list(_media(erasure)):
        if said or _shows(erasure, key):
            erasure.job.check()
            store.remove(erasure.organization_id, key)
            _forget_medium(erasure, asset_id)
            removed += 1
    return {"removed": removed}


def _shows(erasure: Erasure, key: str) -> bool:
    """Look for the person in the bytes of a file."""
    assert erasure.person is not None, "an organization's media all go"
    try:
        return holds(get_media_store().read(erasure.organization_id, key), erasure.person.words)
    except FileNotFoundError:
        return False


def _media(erasure: Erasure) -> Iterator[tuple[UUID, str, bool]]:
    is_about = true() if erasure.person is None else mentions(erasure.person.everywhere)
    assets = select(ContentAsset.id, ContentAsset.storage_key, is_about)
    with erasure.transaction() as session:
        kept = assets.where(ContentAsset.storage_key.is_not(None))
        rows = session.execute(kept.execution_options(include_deleted=True)).all()
    yield from ((asset_id, key, bool(found)) for asset_id, key, found in rows if key is not None)


def _forget_medium(erasure: Erasure, asset_id: UUID) -> None:
    with erasure.transaction() as session:
        session.execute(
            update(ContentAsset)
            .where(ContentAsset.id == asset_id)
            .values(storage_key=None, sha256=None, byte_size=0, deleted_at=datetime.now(UTC))
            .execution_options(include_deleted=True, synchronize_session=False)
        )


def remove_exports(erasure: Erasure) -> Mapping[str, int]:
    """Delete the archives of earlier exports; those that are being made find that they may not end."""
    wanted = (RequestState.QUEUED, RequestState.RUNNING, RequestState.SUCCEEDED)
    with erasure.transaction() as session:
        exports = session.scalars(
            update(PrivacyRequest)
            .where(PrivacyRequest.kind == RequestKind.EXPORT, PrivacyRequest.state.in_(wanted))
            .values(state=RequestState.EXPIRED, subject_encrypted=None)
            .returning(PrivacyRequest.id)
            .execution_options(synchronize_session=False)
        ).all()
        known = session.scalars(
            select(PrivacyRequest.id).where(PrivacyRequest.kind == RequestKind.EXPORT)
        ).all()
    archives = get_archives()
    for export_id in known:
        remove_archive(archives, erasure.organization_id, export_id)
    return {"removed": len(exports)}


def forget_caches(erasure: Erasure) -> Mapping[str, int]:
    """Delete what Redis remembers of the organization, and every key that names the person.

    Messages of jobs stay: they hold ids of jobs and nothing else.
    """
    organization = str(erasure.organization_id)
    named: list[str] = []
    if erasure.person is not None:
        ids = (*erasure.person.lead_ids, *erasure.person.user_ids, *erasure.person.recipient_ids)
        named = [word.lower() for word in (*erasure.person.words, *map(str, ids))]
    removed = 0
    settings = get_settings()
    with redis.Redis.from_url(str(settings.redis_url)) as client:
        for key in client.scan_iter(count=KEYS_AT_ONCE):
            spelled = key.decode(errors="replace").lower()
            if spelled.startswith((f"tenant:{organization}:", f"genius:rate:{{{organization}}}")) or any(
                name in spelled for name in named
            ):
                removed += int(client.unlink(key))
    return {"keys": removed}
