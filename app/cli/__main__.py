"""`python -m app.cli` is `statewright`."""

import os
import sys

import typer

from app.cli import app


def main() -> None:
    """Runs a command. Its help is output, too, and may find a full disk."""
    try:
        app(prog_name="statewright")
    except OSError as error:
        # What is left in the buffer would fail again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        typer.echo(f"statewright: The output cannot be written: {error.strerror}.", err=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
