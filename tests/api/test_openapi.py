"""The OpenAPI document, and a walk over all it declares: it takes up new routers by itself."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel

from app.access.keys import generate_key
from app.access.service import revoke_key
from app.api.deps import Reader
from app.api.schemas import Data, Page
from app.main import DefaultSecretKeyError, create_app
from app.settings import Settings
from tests.support.get_paths import GET_PATHS
from tests.support.http import NewKey

OPEN = ("/health/",)


class Thing(BaseModel):
    """An item of a list."""

    name: str


things = APIRouter(tags=["things"])


@things.get("/things/{thing}")
async def list_(caller: Reader, thing: int) -> Data[Page[Thing]]:
    return Data(data=Page(items=[], next_token=None))


@pytest.fixture(scope="module")
def larger_api() -> FastAPI:
    """The application with one more endpoint, so that the walk never is over nothing."""
    app = create_app(Settings(dev=True))
    app.include_router(things)
    return app


@pytest.fixture
def api(larger_api: FastAPI, settings: Settings) -> FastAPI:
    larger_api.state.settings = settings
    return larger_api


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and declaration of each operation that needs a key."""
    for path, methods in document["paths"].items():
        if not path.startswith(OPEN):
            for method, operation in methods.items():
                yield method, path, operation


async def test_no_operation_answers_without_a_valid_key(
    anonymous: httpx.AsyncClient, api: FastAPI, new_key: NewKey
) -> None:
    expired, revoked = await new_key(), await new_key()
    await api.state.database.pool.execute(
        "UPDATE api_key SET expires_at = clock_timestamp() WHERE id = $1", expired.key_id
    )
    async with api.state.database.transaction() as db:
        assert await revoke_key(db, revoked.key_id)
    headers = {
        "none": {},
        "malformed": {"Authorization": "Bearer x"},
        "unknown": {"Authorization": f"Bearer {generate_key()[1]}"},
        "expired": {"Authorization": f"Bearer {expired.api_key}"},
        "revoked": {"Authorization": f"Token {revoked.api_key}"},
    }

    let_in = []
    for method, path, _ in operations(api.openapi()):
        url = re.sub(r"{\w+}", "1", path)
        for case, header in headers.items():
            body = {} if method in ("post", "put", "patch") else None
            answer = await anonymous.request(method, url, headers=header, json=body)
            if answer.status_code != 401 or answer.headers["www-authenticate"] != "Bearer":
                let_in.append((method, path, case, answer.status_code))

    assert let_in == []


async def test_every_operation_says_that_it_needs_a_key(api: FastAPI) -> None:
    document = api.openapi()

    assert document["components"]["securitySchemes"]["ApiKey"]["scheme"] == "bearer"
    assert [
        path for _, path, operation in operations(document) if "ApiKey" not in str(operation)
    ] == []


async def test_the_document_is_3_1_and_has_no_422_of_the_framework(
    anonymous: httpx.AsyncClient,
) -> None:
    document = (await anonymous.get("/openapi.json")).json()

    assert document["openapi"].startswith("3.1")
    assert "HTTPValidationError" not in str(document)
    assert {"type", "title", "status", "detail"} == set(
        document["components"]["schemas"]["Problem"]["required"]
    )


async def test_every_reference_leads_somewhere(api: FastAPI) -> None:
    document = api.openapi()
    references = set(re.findall(r"'#/components/schemas/([^']+)'", str(document)))

    assert references - set(document["components"]["schemas"]) == set()


async def test_errors_of_routers_are_declared_as_problems(shared_api: FastAPI) -> None:
    """All but the ones this file adds: routers of the application get the default responses."""
    document = shared_api.openapi()

    for method, path, operation in operations(document):
        declared = set(operation["responses"])
        assert {"400", "401", "403", "404", "409", "413", "503"} <= declared, (method, path)


def test_all_that_can_be_got_is_known_to_those_who_look_at_it_all(shared_api: FastAPI) -> None:
    found = {path for path, methods in shared_api.openapi()["paths"].items() if "get" in methods}
    assert found == set(GET_PATHS)


async def test_operation_ids_are_unique_and_read_well(api: FastAPI) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(api.openapi())]

    assert "things_list" in ids
    assert len(ids) == len(set(ids))
    assert [name for name in ids if not re.fullmatch(r"[a-z][a-z0-9_]+[a-z0-9]", name)] == []


async def test_envelopes_have_plain_names(api: FastAPI) -> None:
    assert {"ThingPageData", "ThingPage", "Thing"} <= set(api.openapi()["components"]["schemas"])


def _schemas(node: Any, *, named: bool = False) -> Iterator[tuple[dict[str, Any], bool]]:
    """Each object of a document, and whether it is a schema with a name of its own."""
    if isinstance(node, dict):
        yield node, named
        for key, item in node.items():
            if key in {"example", "examples", "default"}:
                continue
            for name, inner in item.items() if key == "schemas" else [(key, item)]:
                yield from _schemas(inner, named=key == "schemas" and bool(name))
    elif isinstance(node, list):
        for item in node:
            yield from _schemas(item)


def test_every_union_and_every_object_with_members_has_a_name(shared_api: FastAPI) -> None:
    for schema, named in _schemas(shared_api.openapi()):
        choices = [*schema.get("anyOf", []), *schema.get("oneOf", [])]
        several = len([one for one in choices if one.get("type") != "null"]) > 1
        members = schema.get("type") == "object" and isinstance(schema.get("properties"), dict)
        assert named or not (several or members), schema


def test_integers_without_a_small_bound_are_long(shared_api: FastAPI) -> None:
    event = shared_api.openapi()["components"]["schemas"]["DatasetEventRecord"]["properties"]
    assert event["start_time"]["format"] == event["end_time"]["format"] == "int64"


def test_content_blocks_are_told_apart_by_their_type(shared_api: FastAPI) -> None:
    content = shared_api.openapi()["components"]["schemas"]["AgentContent"]["discriminator"]
    assert content["propertyName"] == "content_type"
    assert sorted(content["mapping"]) == ["error", "text", "tool_result", "tool_use"]


def test_each_block_has_its_type(shared_api: FastAPI) -> None:
    schemas = shared_api.openapi()["components"]["schemas"]
    blocks = [name for name in schemas if name.startswith("Agent") and name.endswith("Content")]
    assert len(blocks) == 5
    for name in blocks:
        assert "oneOf" in schemas[name] or "content_type" in schemas[name]["required"], name


def test_what_is_left_out_of_a_request_is_not_null(shared_api: FastAPI) -> None:
    for _, path, operation in operations(shared_api.openapi()):
        for parameter in operation.get("parameters", []):
            assert "null" not in str(parameter["schema"]), (path, parameter)
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert "null" not in str(content), path


def test_what_is_applied_is_text_or_a_manifest(shared_api: FastAPI) -> None:
    document = shared_api.openapi()
    content = document["paths"]["/api/v1/cli/apply/"]["post"]["requestBody"]["content"]
    assert content["application/yaml"]["schema"] == {"type": "string"}
    assert content["application/json"]["schema"]["$ref"].endswith("/ManifestDocuments")
    one_of = document["components"]["schemas"]["ManifestDocuments"]["anyOf"]
    assert one_of == [{"$ref": "#/components/schemas/Manifest"}, {"type": "string"}]


def test_unions_have_no_member_that_generators_number(shared_api: FastAPI) -> None:
    for schema, _ in _schemas(shared_api.openapi()):
        for choice in schema.get("anyOf", []):
            assert choice.get("type") != "object", schema
            assert "enum" not in choice, schema


def test_what_a_client_may_leave_out_of_a_body_has_no_default(shared_api: FastAPI) -> None:
    schemas = shared_api.openapi()["components"]["schemas"]
    for name in (name for name in schemas if name.endswith("Request")):
        for field, schema in schemas[name]["properties"].items():
            assert "default" not in schema, (name, field)
    visibility = schemas["StartAgentThreadRequest"]["properties"]["visibility"]
    assert "Default: `" in visibility["description"]


async def test_swagger_ui_is_there(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.get("/docs")

    assert answer.status_code == 200
    assert "swagger" in answer.text


def test_the_default_secret_key_is_for_dev_only(settings: Settings) -> None:
    default = Settings().security
    production = settings.model_copy(update={"dev": False, "security": default})

    with pytest.raises(DefaultSecretKeyError, match="STATEWRIGHT_SECURITY__SECRET_KEY"):
        create_app(production)
    assert create_app(production.model_copy(update={"dev": True}))


def test_what_a_body_may_have_is_declared(api: FastAPI) -> None:
    paths = api.openapi()["paths"]
    assert paths["/v1/ai/threads"]["post"]["x-max-body-bytes"] == 5_000_000
    assert paths["/api/v1/cli/apply/"]["post"]["x-max-body-bytes"] == 256 * 1024
    assert {"413", "429"} <= paths["/v1/ai/threads/search"]["post"]["responses"].keys()
