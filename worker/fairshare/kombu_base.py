"""Kombu's classes, whose partial stubs hide most of what is extended here."""

from typing import Any

from kombu import exceptions
from kombu.transport import redis, virtual
from redis import sentinel

QoSBase: Any = virtual.QoS
MessageBase: Any = virtual.Message
PollerBase: Any = redis.MultiChannelPoller
PublishBatchBase: Any = getattr(redis, "PublishBatch")  # noqa: B009 - missing in the stubs
BatchPublishError: type[Exception] = getattr(exceptions, "BatchPublishError")  # noqa: B009 - likewise
ChannelBase: Any = redis.Channel
SentinelChannelBase: Any = redis.SentinelChannel
TransportBase: Any = redis.Transport
SentinelManager: Any = sentinel.Sentinel
