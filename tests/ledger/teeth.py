"""Shows that the ledger run has teeth: a safeguard is switched off in a copy, and it is found.

    make ledger-teeth                                       # or, for some of them:
    .venv/bin/python -m tests.ledger.teeth "unknown outcomes resent"

The mutations are those of the fault tests, each under the faults that its safeguard is for, seed by
seed. Exits with 1 if none found it.
"""

import sys
from collections.abc import Sequence

from tests.chaos.teeth import Find, bite, found_by

_TURNS = 80
_FAULTS = {
    "fence on tool steps": "pause worker",
    "approvals kept in memory": "kill worker,kill api,kill all",
    "unknown outcomes resent": "kill worker,pause worker",
}


def _find(name: str, seed: int) -> Find:
    run = ("-m", "tests.ledger.run", "--seed", str(seed), "--turns", str(_TURNS))
    return found_by(name, *run, "--faults", _FAULTS[name])


def main(chosen: Sequence[str]) -> int:
    """Run the chosen mutations, or all."""
    return bite(chosen or list(_FAULTS), _find)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
