"""What the supervisor tells of a child that ended."""

from pathlib import Path

import pytest

from app.dev.process import Process


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("starting\nstatewright: Two faults:\n  - one\n  - two\n", "Two faults:\n  - one\n  - two"),
        ("one\ntwo\n", "two"),
        ("", "(empty)"),
    ],
)
def test_the_last_words_are_the_whole_error(tmp_path: Path, log: str, words: str) -> None:
    file = tmp_path / "api.log"
    file.write_text(log)
    process = Process("api", [], log=file)

    assert process.last_words() == f"The end of {file}: {words}"
