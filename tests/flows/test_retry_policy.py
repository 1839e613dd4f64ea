"""When a retry policy tries again, and how long it waits."""

import pytest

from app.flows.template import RetryPolicy
from app.invokers.invoker import FailureKind, InvokerError, TransientInvokerError

TIMEOUT = TransientInvokerError("late", kind=FailureKind.TIMEOUT)
GATEWAY_TIMEOUT = TransientInvokerError("late", status=504)
BUSY = TransientInvokerError("busy", status=429)
MISSING = InvokerError("missing", status=404)
OTHER = InvokerError("odd")


@pytest.mark.parametrize(
    ("on", "tried_again"),
    [
        (None, [TIMEOUT, GATEWAY_TIMEOUT, BUSY]),
        (("timeout",), [TIMEOUT, GATEWAY_TIMEOUT]),
        (("5xx",), [GATEWAY_TIMEOUT]),
        (("429", "connection"), [BUSY]),
        (("4xx",), [BUSY, MISSING]),
        (("404", "timeout"), [TIMEOUT, GATEWAY_TIMEOUT, MISSING]),
    ],
)
def test_what_is_not_named_is_final(
    on: tuple[str, ...] | None, tried_again: list[InvokerError]
) -> None:
    errors = [TIMEOUT, GATEWAY_TIMEOUT, BUSY, MISSING, OTHER]

    assert [error for error in errors if not RetryPolicy(on=on).is_final(error)] == tried_again


@pytest.mark.parametrize(
    ("policy", "waits"),
    [
        (RetryPolicy(), [1, 2, 4, 8, 10]),
        (RetryPolicy(initial_interval=3), [3, 6, 10, 10, 10]),
        (RetryPolicy(backoff_coefficient=1), [1, 1, 1, 1, 1]),
        (RetryPolicy(initial_interval=2, backoff_coefficient=3), [2, 6, 10, 10, 10]),
        (RetryPolicy(maximum_interval=100, backoff_coefficient=10), [1, 10, 100, 100, 100]),
        (RetryPolicy(initial_interval=60), [60, 60, 60, 60, 60]),
    ],
)
def test_waits_grow_up_to_the_longest(policy: RetryPolicy, waits: list[float]) -> None:
    assert [policy.interval(failures, 1, 10) for failures in range(1, 6)] == waits
