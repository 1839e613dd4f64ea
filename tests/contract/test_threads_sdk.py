"""The published client's `AgentThread`, unchanged, against the running service and a worker."""

from collections.abc import Iterator

import pytest
from roboto.ai.agent import Agent, TemplateVariable
from roboto.ai.agent_thread import (
    AgentErrorEvent,
    AgentMessage,
    AgentRole,
    AgentStartTextEvent,
    AgentTextDeltaEvent,
    AgentTextEndEvent,
    AgentThread,
    AgentThreadStatus,
    FeedbackCategory,
    FeedbackSentiment,
    StartAgentThreadRequest,
    ThreadVisibility,
)
from roboto.ai.core import AnalysisScope, ClientViewingContext
from roboto.exceptions import (
    RobotoConflictException,
    RobotoInvalidRequestException,
    RobotoNotFoundException,
    RobotoUnauthorizedException,
)
from roboto.http import RobotoClient

from app.access.caller import KeyScope
from app.settings import LlmSettings, Settings
from app.settings.http import ListSettings
from tests.contract.conftest import Service, running_worker

pytestmark = pytest.mark.usefixtures("worker")

TICK = 0.03


@pytest.fixture
def worker(service: Service) -> Iterator[None]:
    """A worker beside the running server."""
    with running_worker(service.settings):
        yield


def says(message: AgentMessage) -> str:
    return "".join(getattr(content, "text", "") for content in message.content)


def spoken(thread: AgentThread) -> list[tuple[str, str]]:
    return [(message.role.value, says(message)) for message in thread.messages]


def check_equal(thread: AgentThread, roboto: RobotoClient) -> None:
    """What the client has put together is what the server has."""
    fresh = AgentThread.from_id(thread.thread_id, roboto)
    assert spoken(thread) == spoken(fresh)
    assert [m.status for m in thread.messages] == [m.status for m in fresh.messages]
    assert thread.status == fresh.status
    # Texts may be split in other places; put together they are the same.
    assert thread.transcript.replace("\n", "") == fresh.transcript.replace("\n", "")
    assert says(thread.latest_message or AgentMessage.text("?")) == says(fresh.messages[-1])


def test_a_launched_agent_answers_and_goes_on(service: Service, roboto: RobotoClient) -> None:
    template = StartAgentThreadRequest(
        messages=[AgentMessage.text("Tell me about {{topic}}.")], system_prompt="Like {{style}}."
    )
    variables = [
        TemplateVariable(name="topic"),
        TemplateVariable(name="style", required=False, default="a poet"),
    ]
    agent = Agent.create("teller", template, variables, roboto_client=roboto)

    thread = agent.launch({"topic": "{{style}} and tea"})
    assert thread.visibility is ThreadVisibility.ORG
    thread.run(tick=TICK, timeout=30)

    assert thread.status is AgentThreadStatus.USER_TURN
    assert spoken(thread) == [
        ("user", "Tell me about {{style}} and tea."),
        ("assistant", "[echo model] You said: Tell me about {{style}} and tea."),
    ]
    thread.send_text("And rum?").run(tick=TICK, timeout=30)
    assert spoken(thread)[2:] == [
        ("user", "And rum?"),
        ("assistant", "[echo model] You said: And rum?"),
    ]
    check_equal(thread, roboto)
    with pytest.raises(RobotoInvalidRequestException, match="topic"):
        agent.launch({})


def test_a_thread_is_started_with_all_that_a_start_may_say(roboto: RobotoClient) -> None:
    thread = AgentThread.start(
        [
            AgentMessage.text("One"),
            AgentMessage.text("Yes.", AgentRole.ASSISTANT),
            AgentMessage.text("Two"),
        ],
        client_context=ClientViewingContext(dataset_ids=["ds_1"], misc_context={"a": [1]}),
        system_prompt="Be brief.",
        model_profile="echo",
        analysis_scope=AnalysisScope(start_time=1, end_time=2),
        client_tools=[],
        goals=[],
        invoke_skills=[],
        available_skills=[],
        roboto_client=roboto,
    )
    assert thread.status is AgentThreadStatus.ROBOTO_TURN
    assert thread.visibility is ThreadVisibility.PRIVATE

    thread.run(tick=TICK, timeout=30)

    assert [text for _, text in spoken(thread)] == [
        "One", "Yes.", "Two", "[echo model] You said: Two",
    ]  # fmt: skip
    assert thread.goals == []
    assert thread.tasks == []
    thread.send(
        AgentMessage.text("Three"),
        client_context=ClientViewingContext(dataset_ids=["ds_2"]),
        analysis_scope=AnalysisScope(start_time=3),
    ).run(tick=TICK, timeout=30)
    check_equal(thread, roboto)


def test_an_early_and_a_late_reader_hold_the_same(roboto: RobotoClient) -> None:
    thread = AgentThread.start("Hi", roboto_client=roboto)
    bare = AgentThread.from_id(thread.thread_id, roboto, load_messages=False)
    assert bare.messages == []
    early = AgentThread.from_id(thread.thread_id, roboto)

    thread.run(tick=TICK, timeout=30)
    for reader in (bare, early):
        reader.refresh()
        check_equal(reader, roboto)
        reader.refresh()
        check_equal(reader, roboto)
    # A client that has not polled for the answer goes on all the same.
    early = AgentThread.from_id(thread.thread_id, roboto)
    thread.send_text("Again").run(tick=TICK, timeout=30)
    early.send_text("And again").run(tick=TICK, timeout=30)
    check_equal(early, roboto)
    thread.refresh()
    check_equal(thread, roboto)


class TestPages:
    """With answers that hold one message each."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        settings.lists = ListSettings(page_bytes=1)
        return settings

    def test_a_thread_is_read_to_its_end_piece_by_piece(self, roboto: RobotoClient) -> None:
        thread = AgentThread.start("One", roboto_client=roboto)
        thread.run(tick=TICK, timeout=30)
        thread.send_text("Two").run(tick=TICK, timeout=30)
        said = ["One", "[echo model] You said: One", "Two", "[echo model] You said: Two"]
        assert [text for _, text in spoken(thread)] == said
        for load_messages in (True, False):
            late = AgentThread.from_id(thread.thread_id, roboto, load_messages=load_messages)
            assert len(late.messages) == load_messages
            late.send_text("Three").run(tick=TICK, timeout=30)
            assert spoken(late)[:4] == spoken(thread)
            assert late.status is AgentThreadStatus.USER_TURN


class TestStreaming:
    """With a model that takes its time."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        settings.llm = LlmSettings(echo_delay_seconds=0.04)
        return settings

    def test_events_come_in_order_and_while_it_is_made(self, roboto: RobotoClient) -> None:
        thread = AgentThread.start(" ".join(["word"] * 25), roboto_client=roboto)

        events = list(thread.events(tick=TICK, timeout=30))

        assert isinstance(events[0], AgentStartTextEvent)
        assert isinstance(events[-1], AgentTextEndEvent)
        deltas = events[1:-1]
        assert len(deltas) > 2
        assert all(isinstance(event, AgentTextDeltaEvent) for event in deltas)
        text = "".join(event.text for event in deltas if isinstance(event, AgentTextDeltaEvent))
        assert text == says(thread.messages[-1]) == f"[echo model] You said: {'word ' * 24}word"
        check_equal(thread, roboto)

    def test_it_is_not_the_users_turn_while_the_model_speaks(self, roboto: RobotoClient) -> None:
        thread = AgentThread.start("Hi " * 40, roboto_client=roboto)

        with pytest.raises(RobotoConflictException):
            thread.send_text("Hurry")

        assert len(thread.messages) == 1
        with pytest.raises(TimeoutError):
            thread.run(tick=TICK, timeout=0.2)
        thread.run(tick=TICK, timeout=30)
        check_equal(thread, roboto)


class TestFailing:
    """With a model that nobody answers for."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        settings.llm = LlmSettings(
            provider="openai", base_url="http://127.0.0.1:9/v1", model="m", api_key="k"
        )
        settings.step.max_attempts = 2
        return settings

    def test_a_failed_turn_is_an_error_event(self, roboto: RobotoClient) -> None:
        thread = AgentThread.start("Hi", roboto_client=roboto)

        events = list(thread.events(tick=TICK, timeout=60))

        assert [type(event) for event in events] == [AgentErrorEvent]
        assert thread.status is AgentThreadStatus.USER_TURN
        assert thread.messages[-1].is_unsuccessful()
        check_equal(thread, roboto)
        thread.send_text("Still there?").run(tick=TICK, timeout=60)
        check_equal(thread, roboto)
        assert len(thread.messages) == 4


def test_a_fork_goes_its_own_way(roboto: RobotoClient) -> None:
    thread = AgentThread.start("One", roboto_client=roboto).run(tick=TICK, timeout=30)
    thread.send_text("Two").run(tick=TICK, timeout=30)

    fork = thread.fork(1)
    assert spoken(fork) == spoken(thread)[:2]
    assert fork.visibility is ThreadVisibility.PRIVATE
    fork.send_text("Three").run(tick=TICK, timeout=30)

    check_equal(fork, roboto)
    assert [text for _, text in spoken(fork)][2:] == ["Three", "[echo model] You said: Three"]
    check_equal(thread, roboto)
    with pytest.raises(RobotoInvalidRequestException, match="message 4"):
        thread.fork(4)


def test_visibility_pins_and_feedback(service: Service, roboto: RobotoClient) -> None:
    thread = AgentThread.start("Hi", roboto_client=roboto).run(tick=TICK, timeout=30)
    bob = service.client(
        service.new_key(user="bob@acme.example", scopes=[KeyScope.READ, KeyScope.WRITE]).api_key
    )
    with pytest.raises(RobotoUnauthorizedException):
        AgentThread.from_id(thread.thread_id, bob)

    thread.set_visibility(ThreadVisibility.ORG).set_visibility(ThreadVisibility.ORG)
    bobs = AgentThread.from_id(thread.thread_id, bob)
    assert bobs.visibility is ThreadVisibility.ORG
    with pytest.raises(RobotoUnauthorizedException):
        bobs.set_visibility(ThreadVisibility.PRIVATE)
    bobs.set_pinned(True).set_pinned(True).set_pinned(False)

    said = thread.submit_feedback(
        1, FeedbackSentiment.POSITIVE, [FeedbackCategory.OTHER, FeedbackCategory.HELPFUL], "Nice."
    )
    again = thread.submit_feedback(1, FeedbackSentiment.NEGATIVE, notes=" ")
    assert (said.thread_id, said.message_sequence_num, said.org_id) == (
        thread.thread_id, 1, service.key.org_id,
    )  # fmt: skip
    assert said.categories == [FeedbackCategory.HELPFUL, FeedbackCategory.OTHER]
    assert (again.feedback_id, again.created) == (said.feedback_id, said.created)
    assert (again.categories, again.notes) == ([], None)
    assert bobs.submit_feedback(1, FeedbackSentiment.POSITIVE).feedback_id != said.feedback_id
    with pytest.raises(RobotoNotFoundException):
        thread.submit_feedback(9, FeedbackSentiment.POSITIVE)
    with pytest.raises(RobotoInvalidRequestException, match="assistant"):
        thread.submit_feedback(0, FeedbackSentiment.POSITIVE)


def test_errors_are_the_clients_own(service: Service, roboto: RobotoClient) -> None:
    thread = AgentThread.start("Hi", roboto_client=roboto).run(tick=TICK, timeout=30)

    with pytest.raises(RobotoNotFoundException):
        AgentThread.from_id("ath_nowhere", roboto)
    other = service.client(service.new_key(org="Other", user="eve@other.example").api_key)
    with pytest.raises(RobotoNotFoundException):
        AgentThread.from_id(thread.thread_id, other)
    with pytest.raises(RobotoUnauthorizedException):
        AgentThread.from_id(thread.thread_id, service.client("sw_bad"))
    with pytest.raises(RobotoUnauthorizedException):
        AgentThread.start("Hi", org_id="og_other", roboto_client=roboto)
    reads = service.client(service.new_key(scopes=[KeyScope.READ]).api_key)
    with pytest.raises(RobotoUnauthorizedException):
        AgentThread.from_id(thread.thread_id, reads).send_text("Hi")
    assert AgentThread.start("Hi", org_id=service.key.org_id, roboto_client=roboto).thread_id

    thread.refresh()
    check_equal(thread, roboto)
    assert len(thread.messages) == 2
