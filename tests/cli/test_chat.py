"""A conversation: `prompt --session`, and `chat`."""

from collections.abc import Callable

from tests.cli.conftest import Statewright

Ok = Callable[..., str]


def test_a_conversation_goes_on(ok: Ok, statewright: Statewright) -> None:
    ok("apply", "-f", "-", stdin=ok("manifest", "agent"))
    ok("apply", "-f", "-", stdin=ok("manifest", "agent").replace("example-agent", "other"))

    session = ok("prompt", "example-agent", "first", "-o", "name").strip()
    answered = ok("prompt", "example-agent", "second", "--session", session)
    others = statewright("prompt", "other", "third", "--session", session)
    valued = statewright("prompt", "example-agent", "x", "--session", session, "--value", "topic=y")

    assert "second" in answered
    assert (others.exit_code, valued.exit_code) == (1, 1)
    assert "no session" in others.stderr
    thread = ok("get", "session", session, "-o", "jsonpath={.status.messages}")
    talked = statewright("chat", "example-agent", "--session", session, stdin="one\n\ntwo\n")
    assert talked.exit_code == 0
    assert len(talked.stdout.splitlines()) == 2
    assert f"--session {session}" in talked.stderr
    assert int(ok("get", "session", session, "-o", "jsonpath={.status.messages}")) == (
        int(thread) + 4
    )


def test_a_chat_begins_a_session(ok: Ok, statewright: Statewright) -> None:
    ok("apply", "-f", "-", stdin=ok("manifest", "agent"))
    talked = statewright("chat", "example-agent", "--value", "topic=kettles", stdin="one\ntwo\n")

    assert talked.exit_code == 0, talked.stderr
    assert "--session ath_" in talked.stderr
    assert statewright("chat", "nobody", stdin="one\n").exit_code == 1
    assert statewright("chat", "example-agent", stdin="").exit_code == 0
