"""`python -m app.cli` is `statewright`."""

from app.cli import app

app(prog_name="statewright")
