"""Which resources a command is about: kinds, names, KIND/NAME, labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from app.cli.client import Client, open_client
from app.cli.failures import CommandError

_PAGE = 500
_PAGE_OF_MANIFESTS = 100  # each may have 256 KB

_COMPLETION_SECONDS = 2.0  # nobody waits longer for a completion


def complete_kind(incomplete: str) -> list[str]:
    """The kinds that begin so; none if the service does not say in time."""
    try:
        with open_client(seconds=_COMPLETION_SECONDS) as client:
            kinds = client.ask("api-resources")["data"]
    except CommandError:
        return []
    *before, begun = incomplete.split(",")
    found = [kind["name"] for kind in kinds if kind["name"].startswith(begun.lower())]
    return [",".join([*before, name]) for name in found]


KindArgument = Annotated[
    str,
    typer.Argument(
        help="A kind in any case, singular or plural; or KIND/NAME.", autocompletion=complete_kind
    ),
]
KindsArgument = Annotated[
    str,
    typer.Argument(
        metavar="KIND[,KIND…]|KIND/NAME",
        help="Kinds in any case, singular or plural; `api-resources` lists them.",
        autocompletion=complete_kind,
    ),
]
NameArgument = Annotated[str | None, typer.Argument(help="Name of the resource.")]
NamesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME…]", help="Names; or more KIND/NAME.")
]
SelectorOption = Annotated[
    str | None,
    typer.Option(
        "--selector",
        "-l",
        help="Only resources with such labels: a=b, a!=b, a in (b,c), a notin (b,c), a, !a;"
        " with commas between.",
    ),
]


def split(kind: str, name: str | None) -> tuple[str, str | None]:
    """KIND/NAME in two; two words as they are."""
    if name is None and "/" in kind:
        kind, _, name = kind.partition("/")
    return kind, name


def target(kind: str, name: str | None) -> tuple[str, str]:
    """Kind and name, given as two words or as KIND/NAME.

    Raises:
        CommandError: there is no name.
    """
    kind, name = split(kind, name)
    if not name:
        raise CommandError(f"Which {kind}? Give its name.")
    return kind, name


def targets(kinds: str, names: Sequence[str] | None) -> list[tuple[str, str | None]]:
    """Kinds and names as kubectl has them: `a,b`, `a,b NAME…`, `a/NAME b/NAME…`.

    Returns:
        Kind and name each; without a name, all resources of the kind are meant.

    Raises:
        CommandError: a word is empty, or of another form than the others.
    """
    words = [kinds, *(names or ())]
    if "" in words or any(word.startswith("/") or word.endswith("/") for word in words):
        raise CommandError("A kind or a name is empty.")
    if "/" in kinds:
        pairs = [word.partition("/") for word in words]
        if not all(slash for _, slash, _ in pairs):
            raise CommandError("Give KIND NAME…, or KIND/NAME for each.")
        return [(kind, name) for kind, _, name in pairs]
    listed = [kind for kind in kinds.split(",") if kind]
    asked: list[str | None] = [*(names or [])] or [None]
    return [(kind, name) for kind in listed for name in asked]


@dataclass(slots=True)
class Listing:
    """Resources of one kind; `manifests` is empty unless asked for, `is_cut` if there are more."""

    kind: str
    titles: list[dict[str, str]]
    items: list[dict[str, Any]]
    manifests: list[dict[str, Any]]
    is_cut: bool


def read_list(
    client: Client,
    kind: str,
    query: dict[str, str | int],
    *,
    limit: int | None = None,
    manifests: bool = False,
) -> Listing:
    """All resources that a query finds, or the first of them, page by page.

    Args:
        client: of the service.
        kind: in any spelling.
        query: of `get`.
        limit: the most resources; None: all.
        manifests: whether their manifests are read, too.
    """
    found: Listing | None = None
    for data in _pages(client, kind, query, limit, manifests=manifests):
        page = data["data"]
        found = found or Listing(data["kind"], page["titles"], [], [], is_cut=False)
        found.items += page["items"]
        found.manifests += page.get("manifests", [])
        found.is_cut = "nextToken" in data["metadata"]
    assert found is not None  # noqa: S101 - there is always a first page
    return found


def _pages(
    client: Client, kind: str, query: dict[str, str | int], limit: int | None, *, manifests: bool
) -> Iterator[dict[str, Any]]:
    size = _PAGE_OF_MANIFESTS if manifests else _PAGE
    parameters = query | ({"manifests": "true"} if manifests else {})
    count = 0
    token: str | None = None
    while True:
        left = size if limit is None else min(size, limit - count)
        more = {"page_token": token} if token else {}
        data = client.ask("get", kind, query={**parameters, "i": left, **more})["data"]
        yield data
        count += len(data["data"]["items"])
        token = data["metadata"].get("nextToken")
        if token is None or (limit is not None and count >= limit):
            return
