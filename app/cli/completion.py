"""`statewright completion`: the script by which a shell completes commands, options and kinds."""

from enum import StrEnum
from typing import Annotated

import typer
from typer._completion_classes import completion_init
from typer._completion_shared import get_completion_script

from app.cli.failures import one_line_errors
from app.cli.printing.output import write

_PROGRAM = "statewright"

# What the shell runs at each completion must know these classes.
completion_init()


class Shell(StrEnum):
    """Shells that there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Annotated[Shell, typer.Argument(help="Which shell.")]) -> None:
    """Print a shell's completion script.

    Bash: `source <(statewright completion bash)` in ~/.bashrc; zsh: the same in ~/.zshrc;
    fish: `statewright completion fish > ~/.config/fish/completions/statewright.fish`.
    """
    with one_line_errors():
        variable = f"_{_PROGRAM.upper()}_COMPLETE"
        script = get_completion_script(prog_name=_PROGRAM, complete_var=variable, shell=shell)
        write(script)
