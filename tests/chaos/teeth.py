"""Shows that the chaos run has teeth: a safeguard is switched off in a copy, and it is found.

    make chaos-teeth                                       # or, for some of them:
    .venv/bin/python -m tests.chaos.teeth fence sweeper

The mutations are those of the fault tests. Each is run under the faults that its safeguard is for,
one seed after the other; every run takes two minutes at the most. Exits with 1 if none found it.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.faults.mutate import MUTATIONS, Mutation, mutate, run_in

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


def find(name: str, mutation: Mutation, seed: int) -> tuple[float, str]:
    """Seconds that a run took, and the first violation that it found; "" if it found none."""
    with tempfile.TemporaryDirectory(prefix="statewright-mutated-") as directory:
        copy = Path(directory)
        copy.chmod(0o755)
        mutate(mutation, copy)
        faults = ["--faults", _FAULTS[name]] if name in _FAULTS else []
        began = time.monotonic()
        output = run_in(
            copy,
            *("-m", "tests.chaos.run", "--seed", str(seed), "--seconds", str(_SECONDS), *faults),
        )
        lines = output.partition("  violations ")[2].splitlines()[1:]
        found = next((line.strip() for line in lines if line.startswith("    ")), "")
        return time.monotonic() - began, found


def main(chosen: Sequence[str]) -> int:
    """Run the chosen mutations, or all."""
    toothless = 0
    for name in chosen or MUTATIONS:
        for seed in _SEEDS:
            seconds, found = find(name, MUTATIONS[name], seed)
            is_found = bool(found) and seconds <= _LIMIT
            end = f"found in {seconds:.0f} s: {found[:300]}" if is_found else "not found"
            sys.stdout.write(f"{name}, seed {seed}: {end}\n")
            sys.stdout.flush()
            if is_found:
                break
        else:
            toothless += 1
    return 1 if toothless else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
