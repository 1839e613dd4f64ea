"""Host names and their addresses: looked up in threads, of which no org has all."""

import asyncio
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from ipaddress import ip_address

from app.kit.concurrency.shares import Shares, tenant

LookUp = Callable[[str, int], list[str]]

_MOST_FAILED = 4_096


def look_up_with_system(host: str, port: int) -> list[str]:
    """The addresses of a host, as the operating system finds them; it may take long."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


class SlowNameError(OSError):
    """A name has no address within the time that there is for it."""


class Resolver:
    """Looks up names; callable as `Resolve`.

    A thread cannot be stopped: a look-up that nobody waits for any more keeps its place until the
    system gives it up. So places are counted for each org, and each look-up has a thread of its
    own, for which no exit of the process waits.

    Args:
        look_up: finds the addresses of a host; blocks, and raises OSError.
        places: look-ups at once.
        each: those of one org.
        seconds: for one name, with the wait for a place.
        forget_seconds: for so long a name that failed is not looked up again.
    """

    def __init__(
        self,
        look_up: LookUp = look_up_with_system,
        *,
        places: int = 64,
        each: int = 4,
        seconds: float = 4.0,
        forget_seconds: float = 10.0,
    ) -> None:
        self._look_up = look_up
        self._shares = Shares(places, each=each)
        self._seconds = seconds
        self._forget_seconds = forget_seconds
        self._failed: OrderedDict[str, float] = OrderedDict()  # with the times of their failures

    async def __call__(self, host: str, port: int) -> list[str]:
        """The addresses of a host.

        Raises:
            OSError: it has none, or they were not found in time.
        """
        if _is_address(host):
            return [host]
        self._check(host)
        org_id, answer = tenant(), None
        try:
            async with asyncio.timeout(self._seconds):
                await self._shares.take(org_id)
                answer = self._start(org_id, host, port)
                return await answer
        except TimeoutError:
            if answer is not None:
                self._remember(host)
            raise SlowNameError(f"no address of {host} was found in time") from None
        except OSError:
            self._remember(host)
            raise

    def _start(self, org_id: str, host: str, port: int) -> "asyncio.Future[list[str]]":
        """Looks up in a thread, which gives back the place when it ends."""
        loop = asyncio.get_running_loop()
        answer: Future[list[str]] = Future()

        def work() -> None:
            try:
                found = self._look_up(host, port)
            except Exception as error:  # noqa: BLE001 - raised where the answer is waited for
                answer.set_exception(_as_os_error(error, host))
            else:
                answer.set_result(found)
            with suppress(RuntimeError):  # the loop may be closed: nobody waits for a place
                loop.call_soon_threadsafe(self._shares.give_back, org_id)

        answer.set_running_or_notify_cancel()  # who gives up waiting does not cancel it
        try:
            threading.Thread(target=work, daemon=True).start()
        except RuntimeError:
            self._shares.give_back(org_id)
            raise OSError("the system has no thread left") from None
        return asyncio.wrap_future(answer)

    def _check(self, host: str) -> None:
        failed = self._failed.get(host)
        if failed is None:
            return
        if time.monotonic() - failed < self._forget_seconds:
            raise OSError(f"{host} could not be resolved a moment ago")
        del self._failed[host]

    def _remember(self, host: str) -> None:
        self._failed[host] = time.monotonic()
        self._failed.move_to_end(host)
        if len(self._failed) > _MOST_FAILED:
            self._failed.popitem(last=False)


def _as_os_error(error: Exception, host: str) -> OSError:
    """What is wrong with a name, such as a label of more than 63 characters, is one too."""
    return error if isinstance(error, OSError) else OSError(f"{host} is no name of a host")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


# That of the process: what orgs share is counted in one place.
RESOLVER = Resolver()
