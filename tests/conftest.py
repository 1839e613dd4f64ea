"""What every test may ask for: settings of a fresh database, that database, Redis.

The process that the developer started runs the services; the workers of pytest-xdist are told where
they are. They start when the first test needs them, and leave nothing behind.
"""

import gc
import os
import secrets
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from redis.asyncio import Redis
from xdist.scheduler import LoadScopeScheduling

from app.db.engine import Database
from app.settings import Settings, StepSettings
from tests.support.kept_databases import KeptDatabases
from tests.support.services import Addresses, Clones, Services

pytest_plugins = [
    "tests.support.http",
    "tests.support.flows",
    "tests.support.providers",
]

# Machines differ: what a property finds counts, not how long its examples take.
hypothesis_settings.register_profile(
    "thorough", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
# What `make test` has time for; `make fuzz` is thorough.
hypothesis_settings.register_profile(
    "quick", hypothesis_settings.get_profile("thorough"), max_examples=16
)
hypothesis_settings.load_profile("quick")

_SERVICES = pytest.StashKey[Services]()
# Of tests that share what is costly to make, such as all processes of a deployment, one worker runs
# all: each that ran some would make its own.
_TOGETHER = {
    "a running dev": ("tests/cli/",),
    "another running dev": ("tests/dev/test_run.py",),
    "a deployment": ("tests/faults/",),
    "generated client": ("tests/contract/test_generated_client.py",),
    "schemathesis": ("tests/contract/test_schemathesis.py",),
    "the OpenAPI document": (
        "tests/api/test_openapi.py",
        "tests/api/test_proxies.py",
        "tests/api/test_isolation.py",
        "tests/api/test_flows.py::test_the_document",
        "tests/dev/test_containers.py",
    ),
    "children that render": (
        "tests/flows/test_sandbox.py::test_a_template_is_rendered",
        "tests/flows/test_sandbox.py::test_what_cannot_be_rendered_says_why",
    ),
    "the import of anthropic": (
        "tests/attacks/test_regular_expressions.py",
        "tests/attacks/test_secret_echo.py",
        "tests/invokers/test_anthropic.py",
        "tests/invokers/test_model_answers.py",
        "tests/manifests/test_model_answers.py",
        "tests/sessions/test_model_tool_calls.py",
        "tests/sessions/test_reasoning.py",
    ),
}
_TEST_KEY = "k1:" + "A" * 43 + "="  # 32 zero bytes

gc.disable()  # until all modules are imported: none of what they make is garbage


def _services(config: pytest.Config) -> Services:
    if _SERVICES not in config.stash:
        config.stash[_SERVICES] = Services()
    return config.stash[_SERVICES]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist where the services are."""
    node.workerinput["services"] = vars(_services(node.config).addresses)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any) -> None:
    """Have the services up before tests are given out; they started beside the collection."""
    _services(node.config).wait_until_up()


class _Together(LoadScopeScheduling):
    """Tests one by one to whoever is free, but those that share what is costly to one worker."""

    def _split_scope(self, nodeid: str) -> str:
        groups = (group for group, places in _TOGETHER.items() if nodeid.startswith(places))
        return next(groups, nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return _Together(config, log)


def pytest_configure() -> None:
    """Ask for no TLS, which the embedded server has not: a context for each connection is dear."""
    if "database_url" not in Settings().model_fields_set:
        os.environ.setdefault("PGSSLMODE", "disable")  # noqa: TID251 - libpq's


def pytest_unconfigure(config: pytest.Config) -> None:
    if _SERVICES in config.stash:
        config.stash[_SERVICES].stop()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep garbage collections from looking at the modules, which stay."""
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(10_000, 20, 50)  # what tests make and drop is small
        gc.enable()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def addresses(request: pytest.FixtureRequest) -> Addresses:
    """Where this run's PostgreSQL and Redis are."""
    given = getattr(request.config, "workerinput", None)
    if given:
        return Addresses(**given["services"])
    services = _services(request.config)
    services.wait_until_up()
    return services.addresses


@pytest.fixture(scope="session")
def clones(addresses: Addresses) -> Iterator[Clones]:
    clones = Clones(addresses)
    yield clones
    clones.close()


@pytest.fixture(scope="session")
async def kept_databases(anyio_backend: str, clones: Clones) -> AsyncIterator[KeptDatabases]:
    """What keeps the connections to the tests' databases, and the event loop, until the end."""
    async with AsyncExitStack() as stack:
        kept = KeptDatabases(clones, stack)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Database, "open", kept.open)
            yield kept


@pytest.fixture
def lent_database(clones: Clones) -> Iterator[str]:
    """The URL of a migrated database without rows, which only this test has."""
    name = clones.take()
    yield clones.addresses.database(name)
    clones.give_back(name)


@pytest.fixture
async def settings(
    lent_database: str, clones: Clones, kept_databases: KeptDatabases
) -> AsyncIterator[Settings]:
    """Settings with a migrated database and Redis keys that only this test has."""
    prefix = f"test_{secrets.token_hex(6)}"
    yield Settings(
        database_url=lent_database,
        redis_url=clones.addresses.redis_url,
        redis_prefix=prefix,
        dev=True,
        step=StepSettings(
            lease_seconds=2.0,
            sweep_seconds=0.1,
            republish_seconds=0.5,
            backoff_seconds=0.02,
            backoff_max_seconds=0.2,
        ),
        security={"encryption_keys": [_TEST_KEY]},
        limits={"queues": ["*"]},
    )
    await kept_databases.settle()
    await clones.forget(prefix)


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    """The test's own database, migrated and empty."""
    async with Database.open(settings.database_url) as database:
        yield database


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[Redis]:
    """Redis; the test's keys start with `settings.redis_prefix`."""
    async with Redis.from_url(settings.redis_url) as redis:
        yield redis
