"""Notifies workers of invocations that ended before their steps; a lost message costs seconds."""

from collections.abc import Callable

from redis.exceptions import RedisError
from structlog import get_logger

from app.kit.redis import LimitedRedis
from app.queue.keys import cancel_channel
from app.queue.subscription import Subscription

log = get_logger(__name__)


class Cancellations:
    """One Redis channel of the ids of invocations. Without it, leases find out when renewed."""

    def __init__(self, redis: LimitedRedis, namespace: str) -> None:
        self._redis = redis
        self._channel = cancel_channel(namespace)

    async def publish(self, invocation_id: str) -> None:
        """Publishes that an invocation is over, so that what still runs of it ends; best effort."""
        try:
            await self._redis.publish(self._channel, invocation_id)
        except (RedisError, OSError) as error:
            log.warning("cancellation not published", error=type(error).__name__)

    async def listen(self, cancelled: Callable[[str], None]) -> None:
        """Calls `cancelled` with the id of each such invocation, for ever."""
        await Subscription(self._redis, self._channel, cancelled).listen()
