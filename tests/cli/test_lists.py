"""What `get`, `describe` and `delete` find: kinds, names, labels; and how they show it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Statewright
from tests.support.manifests import manifest, many

Ok = Callable[..., str]

NAMES = '{range .items[*]}{.metadata.name}{"\\t"}{.spec.properties.n}{"\\n"}{end}'


@pytest.fixture
def resources(ok: Ok) -> Iterator[None]:
    """Two collections and a device, with labels."""
    documents = (
        manifest("Collection", "l-one", {"properties": {"n": 1}}, labels={"app": "lists"}),
        manifest("Collection", "l-two", {"properties": {"n": [2, 3]}}, labels={"app": "lists"}),
        manifest("Device", "l-three", labels={"app": "lists", "env": "test"}),
    )
    ok("apply", "-f", "-", stdin=many(*documents))
    yield
    ok("delete", "collections,devices", "-l", "app=lists")


@pytest.mark.usefixtures("resources")
def test_several_kinds_and_several_names(ok: Ok, statewright: Statewright) -> None:
    both = ok("get", "collections,devices", "-l", "app=lists", "-o", "name")
    tables = ok("get", "collections,devices", "-l", "app=lists")
    named = ok("get", "collection", "l-two", "l-one", "-o", "name")
    mixed = ok("get", "collection/l-one", "device/l-three", "-o", "name")
    missing = statewright("get", "collection", "l-one", "l-none", "-o", "name")

    assert both.splitlines() == ["collection/l-one", "collection/l-two", "device/l-three"]
    assert [line.split()[:1] for line in tables.splitlines()] == [
        *(["NAME"], ["collection/l-one"], ["collection/l-two"]),
        *([], ["NAME"], ["device/l-three"]),
    ]
    assert named.splitlines() == ["collection/l-two", "collection/l-one"]
    assert mixed.splitlines() == ["collection/l-one", "device/l-three"]
    assert (missing.exit_code, missing.stdout) == (1, "collection/l-one\n")
    assert "'l-none'" in missing.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("get", "dataset", ""),
        ("get", ""),
        ("get", "dataset/"),
        ("get", "/x"),
        ("get", "dataset/x", "y"),
        ("describe", "dataset", ""),
        ("delete", "dataset", ""),
        ("delete", ""),
        ("delete", "dataset"),
        ("delete", "dataset", "-l", ""),
        ("delete", "dataset", "x", "--all"),
        ("delete", "-f", "x.yaml", "--all"),
        ("delete",),
        ("logs", "dataset", ""),
        ("get", "datasets", "-o", "xml"),
        ("get", "datasets", "-o", "jsonpath"),
        ("get", "datasets", "-o", "jsonpath={.items"),
        ("get", "datasets", "-o", "jsonpath={.items[}"),
        ("get", "datasets", "-o", "jsonpath={range .items[*]}"),
        ("get", "datasets", "-o", "jsonpath={end}"),
        ("get", "datasets", "-o", "custom-columns=NAME"),
        ("get", "datasets", "-l", "a=b=c"),
    ],
)
def test_what_says_nothing_or_too_much_is_refused(
    statewright: Statewright, words: tuple[str, ...]
) -> None:
    refused = statewright(*words)

    assert refused.exit_code == 1
    assert refused.stderr.startswith("statewright: ")


@pytest.mark.usefixtures("resources")
def test_values_are_picked_out_of_manifests(ok: Ok) -> None:
    chosen = ("-l", "app=lists")
    listed = ok("get", "collections", *chosen, "-o", f"jsonpath={NAMES}")
    one = ok("get", "collection", "l-one", "-o", "jsonpath={.metadata.labels['app']}/{.kind}")
    found = ok(
        *("get", "collections,devices", *chosen, "-o"),
        "jsonpath={.items[?(@.kind=='Device')].metadata.name}",
    )
    names = ok("get", "collections", *chosen, "-o", "jsonpath={.items[*].metadata.name}")
    none = ok("get", "devices", *chosen, "-o", "jsonpath=[{range .items[5:]}{.kind}{end}]")
    columns = ok(
        *("get", "collections", *chosen, "-o"),
        "custom-columns=NAME:.metadata.name,N:.spec.properties.n,NO:.spec.nothing",
    )

    assert listed == "l-one\t1\nl-two\t[2, 3]\n"
    assert one == "lists/Collection"
    assert found == "l-three"
    assert names == "l-one l-two"
    assert none == "[]"
    assert [line.split(maxsplit=1) for line in columns.splitlines()] == [
        ["NAME", "N        NO"],
        ["l-one", "1        <none>"],
        ["l-two", "[2, 3]   <none>"],
    ]


@pytest.mark.usefixtures("resources")
def test_manifests_of_a_list_can_be_applied(ok: Ok) -> None:
    stream = ok("get", "collections,devices", "-l", "app=lists", "-o", "yaml")
    array = ok("get", "collections", "-l", "app=lists", "-o", "json")

    names = [document["metadata"]["name"] for document in yaml.safe_load_all(stream)]
    assert names == ["l-one", "l-two", "l-three"]
    assert ok("apply", "-f", "-", stdin=stream).count("unchanged") == 3
    assert [one["metadata"]["name"] for one in json.loads(array)] == ["l-one", "l-two"]


@pytest.mark.usefixtures("resources")
def test_a_description_is_for_people(ok: Ok, statewright: Statewright) -> None:
    shown = ok("describe", "collection", "l-two").splitlines()
    both = ok("describe", "collections", "-l", "app=lists")
    account = ok("describe", "account")

    assert shown[0].split() == ["Name:", "l-two"]
    assert "  app:               lists" in shown
    assert any(line.startswith("Resource Version:  1") for line in shown)
    assert shown[shown.index("Spec:") :][:5] == [
        *("Spec:", "  properties:", "    n:", "      - 2", "      - 3")
    ]
    assert "Log:" in shown
    assert "apply: created" in shown[-1]
    assert both.count("Name:") == 2
    assert account.split()[:2] == ["Name:", "dev"]
    assert yaml.safe_load(ok("describe", "device/l-three", "-o", "yaml"))["kind"] == "Device"
    assert statewright("describe", "device", "l-nobody").exit_code == 1


def test_lists_have_any_length(ok: Ok) -> None:
    """More than one request takes, of documents and of manifests; each request is whole."""
    documents = many(*(manifest("Collection", f"m-{n:03}", labels={"m": "y"}) for n in range(205)))
    applied = ok("apply", "-f", "-", stdin=documents)
    listed = ok(
        "get", "collections", "-l", "m=y", "-o", "jsonpath={.items[*].metadata.name}"
    ).split()
    some = ok("get", "collections", "-l", "m=y", "-o", "name", "--limit", "3").splitlines()

    assert applied.count(" created\n") == 205
    assert listed == [f"m-{n:03}" for n in range(205)]
    assert some == [f"collection/m-{n:03}" for n in range(3)]


def test_documents_of_several_requests_may_name_each_other(
    ok: Ok, statewright: Statewright, tmp_path: Path
) -> None:
    """Each of them fits a request, and not all of them do."""
    said = [{"role": "user", "content": [{"text": "x" * 60_000}]}]
    agents = [
        manifest("Agent", f"n-{n}", {"requestTemplate": {"messages": said}, "flow": "n-flow"})
        for n in range(6)
    ]
    states = {"a": {"initial": True, "transitions": [{"event": "go", "target": "a"}]}}
    flow = manifest("Flow", "n-flow", {"statechart": {"states": states}, "templates": {"a": "x"}})
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "a.yaml").write_text(many(*agents[:3]))
    (folder / "b.yaml").write_text(many(*agents[3:], flow))

    applied = ok("apply", "-f", str(folder)).splitlines()
    (folder / "c.yaml").write_text(many(manifest("Agent", "n-bad", {"colour": "red"})))
    refused = statewright("apply", "-f", str(folder))

    assert applied[0].startswith("flow/n-flow ")
    assert len(applied) == 7
    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"statewright: {folder}/c.yaml: spec.")


@pytest.mark.usefixtures("resources")
def test_labels_choose_among_the_manifests_too(ok: Ok, statewright: Statewright) -> None:
    kept = many(
        manifest("Collection", "l-one", labels={"app": "lists"}),
        manifest("Collection", "l-other", labels={"app": "other"}),
    )
    prune = ("apply", "-f", "-", "-l", "app=lists", "--prune", "--kind", "Collection")
    tried = ok(*prune, "--dry-run", stdin=kept)
    done = ok(*prune, "--yes", stdin=kept)

    assert tried.splitlines() == [
        "collection/l-one configured (dry run)",
        "collection/l-two pruned (dry run)",
    ]
    assert done.splitlines() == ["collection/l-one configured", "collection/l-two pruned"]
    assert statewright("apply", "-f", "-", "-l", "app=none", stdin=kept).exit_code == 1


@pytest.mark.parametrize("answer", ["", "n\n"])
def test_pruning_without_an_answer_changes_nothing(
    ok: Ok, statewright: Statewright, answer: str
) -> None:
    ok("apply", "-f", "-", stdin=many(manifest("Device", "p-old"), manifest("Device", "p-kept")))
    Path("kept.yaml").write_text(many(manifest("Device", "p-kept", description="new")))
    asked = statewright("apply", "-f", "kept.yaml", "--prune", "--kind", "Device", stdin=answer)

    assert asked.exit_code == 1
    assert "Nothing was changed" in asked.stderr
    assert "description" not in ok("get", "device", "p-kept", "-o", "yaml")
    ok("delete", "device", "p-old", "p-kept")
