"""The job that the bell rings for: run a step, if it is due and nobody else has it."""

from typing import Any

from app.sessions.steps import StepRunner


async def run_step(ctx: dict[str, Any], step_id: str) -> None:
    """Run a step; what goes wrong is in its row, not in arq."""
    runner: StepRunner = ctx["runner"]
    await runner.run(step_id)
