"""The flows of manifests that a process keeps compiled: weighed, and shared between orgs."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import orjson

from app.flows.flow import Flow
from app.flows.manifest.compile import compile_flow
from app.flows.rendering.sandbox import SandboxRenderer
from app.sizes.weighed_cache import WeighedCache

# Bytes of memory: of any flow, and of a byte of its statechart and its model, or of its templates,
# as JSON. Measured with tracemalloc: 46 KB, 97 to 143, and 1 to 7.
_OF_FLOW = 50_000
_OF_CHART = 150
_OF_TEMPLATES = 10

# A large flow takes seconds to compile: small ones of others go on beside it.
_THREADS = 4


class FlowSource(NamedTuple):
    """A flow as it is stored."""

    spec: Mapping[str, Any]
    description: str | None


class CompiledFlows:
    """Compiles flows in threads, one of an org at a time, and keeps those that were used last.

    Args:
        renderer: renders their templates.
        most: bytes of memory that those that are kept may take; the org with the most loses first.
    """

    def __init__(self, renderer: SandboxRenderer, most: int) -> None:
        self._renderer = renderer
        self._kept: WeighedCache[tuple[str, int], Flow] = WeighedCache(most)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="compile")

    async def get(
        self, org_id: str, key: str, revision: int, read: Callable[[], Awaitable[FlowSource]]
    ) -> Flow:
        """A flow of an org at a revision; `read` is asked only where it is not kept.

        Raises:
            DefinitionMismatchError: it cannot be compiled.
        """
        place = (key, revision)
        if (kept := self._kept.get(org_id, place)) is not None:
            return kept
        async with self._turns.setdefault(org_id, asyncio.Lock()):
            if (kept := self._kept.get(org_id, place)) is not None:
                return kept
            source = await read()
            loop = asyncio.get_running_loop()
            flow, weight = await loop.run_in_executor(
                self._threads, self._compile, key, revision, source
            )
            self._kept.put(org_id, place, flow, weight)
            return flow

    def close(self) -> None:
        """Lets go of the threads; what one compiles ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _compile(self, key: str, revision: int, source: FlowSource) -> tuple[Flow, int]:
        flow = compile_flow(key, revision, source.spec, self._renderer, source.description)
        return flow, _weight(source.spec)


def _weight(spec: Mapping[str, Any]) -> int:
    templates = len(orjson.dumps(spec["templates"]))
    others = len(orjson.dumps([spec["statechart"], spec.get("model")]))
    return _OF_FLOW + _OF_CHART * others + _OF_TEMPLATES * templates
