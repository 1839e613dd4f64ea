"""Which part of an error a client may read: a security rule."""

import json
from collections.abc import Callable

import asyncpg
import pytest
from httpx import ConnectError
from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import OperationalError

from app.errors import EventRefusedError, FlowPackageError, NotFoundError, public_text
from app.invokers.invoker import InvokerError, TransientInvokerError
from app.kit.invalid import InvalidValueError

SECRET = "hunter2"  # noqa: S105 - what must not be seen


class _Form(BaseModel):
    age: int


def _of_pydantic() -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        _Form.model_validate({"age": SECRET})
    return caught.value


def _raised(code: Callable[[], object]) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whichever it is
        code()
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        ConnectError(f"cannot reach https://user:{SECRET}@db"),
        OperationalError(f"SELECT '{SECRET}'", {"password": SECRET}, ValueError(SECRET)),
        asyncpg.PostgresError(SECRET),
        KeyError(SECRET),
        ValueError(SECRET),
        RuntimeError(SECRET),
        SystemExit(SECRET),
        ExceptionGroup(SECRET, [ValueError(SECRET)]),
        FlowPackageError("flows", [f"/srv/{SECRET}/flows.py: no module"]),
        _of_pydantic(),
        _raised(lambda: int(SECRET)),
        _raised(lambda: json.loads(SECRET)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_of_an_error_that_is_not_for_clients_only_the_name_of_its_class_is_read(
    error: BaseException,
) -> None:
    assert public_text(error) == type(error).__name__


def test_an_error_made_for_clients_is_read_as_it_was_written() -> None:
    assert public_text(NotFoundError("There is no agent 'x'.")) == "There is no agent 'x'."
    assert public_text(EventRefusedError("Only one at a time.")) == "Only one at a time."
    assert public_text(InvokerError("the model answered 401")) == "the model answered 401"
    assert public_text(TransientInvokerError("no answer")) == "no answer"


def test_what_caused_an_error_is_not_read_with_it() -> None:
    error = NotFoundError("Not there.")
    error.__cause__ = KeyError(SECRET)
    error.add_note(SECRET)

    assert public_text(error) == "Not there."


def test_of_values_only_the_class_for_clients_is_read_and_no_other_of_its_kind() -> None:
    assert public_text(InvalidValueError("too many")) == "too many"
    for error in (_raised(lambda: json.loads(SECRET)), _of_pydantic(), UnicodeError(SECRET)):
        assert public_text(error) == type(error).__name__


def test_what_cannot_be_stored_is_taken_out() -> None:
    assert public_text(NotFoundError("a\x00b\ud83dc 😀")) == "abc 😀"


def test_the_length_is_bounded() -> None:
    assert public_text(NotFoundError("x" * 10_000)) == "x" * 10_000
    assert public_text(NotFoundError("x" * 1_000_000)) == "x" * 10_000
    assert len(public_text(type("N" * 20_000, (Exception,), {})())) == 10_000
