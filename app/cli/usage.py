"""`statewright get usage`: what requests to models took, and cost."""

from typing import Any

from app.cli.client import Client
from app.cli.printing.output import Format, say, say_document, say_rows

# Of one page.
MOST_SUMS = 200

_COUNTS = ("requests", "input_tokens", "cached_tokens", "output_tokens")


def show_usage(client: Client, query: dict[str, str | int | None], output: Format | None) -> None:
    """Prints what requests to models took, and cost."""
    given = {name: value for name, value in query.items() if value is not None}
    report = client.read("v1/ai/usage", query=given)["data"]
    items = report["items"]
    if output in (Format.JSON, Format.YAML):
        say_document(items, output)
        return
    if not items:
        say("No usage found.", err=True)
        return
    heading = [str(query["by"]).upper(), "REQUESTS", "INPUT", "CACHED", "OUTPUT", "COST"]
    say_rows([heading, *map(_cells, items)])
    if report["next_token"]:
        say(f"The first {len(items)}; --limit shows more.", err=True)


def _cells(item: dict[str, Any]) -> list[str]:
    cost = ", ".join(f"{amount} {currency}" for currency, amount in sorted(item["cost"].items()))
    return [item["name"] or item["key"] or "-", *(str(item[c]) for c in _COUNTS), cost or "-"]
