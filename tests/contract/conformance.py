"""What schemathesis sends to one operation of the OpenAPI document, and how its answers are judged.

schemathesis takes a second to import: only the test that walks the document does.
"""

from collections.abc import Mapping
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as bounded
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import CheckContext, not_a_server_error
from schemathesis.core.transport import Response
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)


def no_server_error(ctx: CheckContext, response: Response, case: Case) -> bool | None:
    """No 5xx, but for the declared one of a kind that does not have the verb."""
    if response.status_code == httpx.codes.NOT_IMPLEMENTED:
        return None
    return not_a_server_error(ctx, response, case)


CHECKS = [
    no_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


# They say how a request is sent: wrong ones do not reach the operation.
_OF_CONNECTIONS = {"connection", "content-length", "expect", "transfer-encoding", "upgrade"}


def find_faults(
    document: dict[str, Any],
    tag: str,
    *,
    base_url: str,
    headers: dict[str, str],
    real: Mapping[str, str],
) -> tuple[int, dict[tuple[str, str], list[str]]]:
    """Exercises all operations of a tag.

    Args:
        document: the OpenAPI document.
        tag: of the operations.
        base_url: of the service.
        headers: of all requests.
        real: values of path parameters that name what is there.

    Returns:
        How many operations there are, and what was wrong, by operation and mode.
    """
    walked, faults = 0, {}
    for result in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = result.ok()
        if tag not in operation.definition.raw["tags"]:
            continue
        walked += 1
        for mode in _modes(operation):
            try:
                _exercise(operation, mode, base_url, headers, real)
            except Exception as fault:  # noqa: BLE001 - all are shown, not the first alone
                faults[operation.label, mode.value] = _messages(fault)
    return walked, faults


def _exercise(
    operation: APIOperation,
    mode: GenerationMode,
    base_url: str,
    headers: dict[str, str],
    real: Mapping[str, str],
) -> None:
    """Runs a property test of one operation; most of its requests name what is there."""

    @seed(0)
    @bounded(
        # Right requests, and as many wrong ones: 12 where a property is tried 100 times.
        max_examples=bounded().max_examples // 8,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(case=operation.as_strategy(generation_mode=mode), named=st.integers(0, 3))
    def run(case: Case, named: int) -> None:
        if named:
            known = {k: v for k, v in real.items() if k in case.path_parameters}
            case.path_parameters.update(known)
            if isinstance(case.body, dict) and "session_id" in case.body:
                case.body["session_id"] = real["session_id"]
        for name in [name for name in case.headers if name.lower() in _OF_CONNECTIONS]:
            del case.headers[name]
        answer = case.call(base_url=base_url, headers=headers)
        case.validate_response(answer, checks=CHECKS)

    run()


def _modes(operation: APIOperation) -> list[GenerationMode]:
    """Right requests, and wrong ones where there is anything that can be wrong."""
    if operation.body or operation.query:
        return [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
    return [GenerationMode.POSITIVE]


def _messages(fault: BaseException) -> list[str]:
    """What is wrong, in words."""
    inner = getattr(fault, "exceptions", [fault])
    return [str(one)[:1500] for one in inner]
