"""Shows that the chaos run has teeth: a safeguard is switched off in a copy, and it is found.

    make chaos-teeth                                       # or, for some of them:
    .venv/bin/python -m tests.chaos.teeth fence sweeper

The mutations are those of the fault tests. Each is run under the faults that its safeguard is for,
one seed after the other; every run takes two minutes at the most. Exits with 1 if none found it.
"""

import math
import sys
import time
from collections.abc import Callable, Sequence

from tests.faults.mutate import MUTATIONS
from tests.support.mutation import mutated, run_in

_SEEDS = (1, 2, 3)
_SECONDS = 40
_LIMIT = 120.0
_FAULTS = {
    "fence": "pause worker",
    "sweeper": "kill worker,flush redis",
    "idempotency": "kill api,pause api,cut",
    "kept outcomes": "lock session,read-only",
    "skipped locks": "lock step",
    "breaker": "pause redis,hang redis",
}

# Its sessions call no tools: the ledger run's do.
_OF_TOOLS = frozenset(
    {
        *("fence on tool steps", "approvals kept in memory"),
        *("unknown outcomes resent", "drained writes"),
    }
)

# Seconds that a run took, and the first violation that it found; "" if it found none.
Find = tuple[float, str]


def found_by(name: str, *run: str) -> Find:
    """What a run finds in a copy with the mutation of that name."""
    with mutated(MUTATIONS[name]) as copy:
        began = time.monotonic()
        lines = run_in(copy, *run).partition("  violations ")[2].splitlines()[1:]
        found = next((line.strip() for line in lines if line.startswith("    ")), "")
        return time.monotonic() - began, found


def bite(chosen: Sequence[str], find: Callable[[str, int], Find], limit: float = math.inf) -> int:
    """Runs each mutation by seed after seed until it is found; 1 if one is not, in time."""
    toothless = 0
    for name in chosen:
        for seed in _SEEDS:
            seconds, found = find(name, seed)
            is_found = bool(found) and seconds <= limit
            end = f"found in {seconds:.0f} s: {found[:300]}" if is_found else "not found"
            sys.stdout.write(f"{name}, seed {seed}: {end}\n")
            sys.stdout.flush()
            if is_found:
                break
        else:
            toothless += 1
    return 1 if toothless else 0


def _find(name: str, seed: int) -> Find:
    faults = ["--faults", _FAULTS[name]] if name in _FAULTS else []
    run = ("-m", "tests.chaos.run", "--seed", str(seed), "--seconds", str(_SECONDS))
    return found_by(name, *run, *faults)


def main(chosen: Sequence[str]) -> int:
    """Run the chosen mutations, or all of what the chaos run does."""
    return bite(chosen or [name for name in MUTATIONS if name not in _OF_TOOLS], _find, _LIMIT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
