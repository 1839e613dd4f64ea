"""What the mutations of the teeth runs name is there: texts of the tree, and the tests."""

import pytest

from tests.attacks.mutate import MUTATIONS as OF_ATTACKS
from tests.faults.mutate import MUTATIONS as OF_FAULTS
from tests.support.mutation import Mutation, stale


@pytest.mark.parametrize("mutations", [OF_ATTACKS, OF_FAULTS], ids=["attacks", "faults"])
def test_no_mutation_is_of_what_was_there_before(mutations: dict[str, Mutation]) -> None:
    assert {name: list(stale(one)) for name, one in mutations.items() if any(stale(one))} == {}
