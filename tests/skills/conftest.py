"""The running service and its published client, as the contract's tests have them."""

from collections.abc import Callable

import pytest
from roboto.domain.skills import Skill
from roboto.http import RobotoClient

from app.access.caller import KeyScope
from tests.contract.conftest import Service, roboto, service

__all__ = ["roboto", "service"]

Create = Callable[..., Skill]


@pytest.fixture
def create(roboto: RobotoClient) -> Create:
    """Makes a skill: `create("name", accessibility=…)`."""

    def make(name: str = "qa-review", *, by: RobotoClient = roboto, **fields: object) -> Skill:
        given = {"description": f"When {name} is asked for.", "body": f"Do {name}.", **fields}
        return Skill.create(name, roboto_client=by, **given)

    return make


@pytest.fixture
def bob(service: Service) -> RobotoClient:
    """The client of another member of Acme, whose key may write."""
    key = service.new_key(user="bob@acme.example", scopes=[KeyScope.WRITE])
    return service.client(key.api_key)


@pytest.fixture
def stranger(service: Service) -> RobotoClient:
    """The client of an admin of another org."""
    return service.client(service.new_key(org="Other", user="eve@other.example").api_key)
