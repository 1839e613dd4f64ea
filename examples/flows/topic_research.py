"""Research: plan the topics, look into each of them, and sum up in two ways at once.

All of `researching` is one invocation: a chain whose first part is a function, its second a map
over what the function found, its third a parallel. A worker runs each of their steps by itself, and
the session moves on when the last is done.
"""

from typing import Any

from app.flows import SessionMachine, SessionModel, State


def topics_of(data: dict[str, Any]) -> list[str]:
    """The topics in what the user said: with commas between them."""
    topics = [topic.strip() for topic in data["actor_input"].split(",")]
    return list(dict.fromkeys(topic for topic in topics if topic))


class TopicResearchMachine(SessionMachine):
    """Its templates nest: a function, a map and a parallel in a chain."""

    briefing = State(initial=True)
    researching = State()
    reporting = State()

    brief = briefing.to(researching) | reporting.to(researching)
    researched = researching.to(reporting, on="keep_report")

    templates = {
        "briefing": "topic_research/briefing.jinja2",
        "researching": [
            {"call": topics_of},
            {
                "map": {
                    "over": "parsed_previous_result",
                    "value_field": "topic",
                    "index_field": "number",
                    "template": "topic_research/find/finding.jinja2",
                }
            },
            {
                "parallel": {
                    "findings": "topic_research/sum_up/findings.jinja2",
                    "headline": "topic_research/sum_up/headline.jinja2",
                }
            },
        ],
        "reporting": "topic_research/reporting.jinja2",
    }

    def keep_report(self) -> None:
        report = self.model.parsed_actor_input
        self.model.report = report if isinstance(report, dict) else None


class TopicResearch(SessionModel):
    """Looks into several topics at once and sums up what it found."""

    machine = TopicResearchMachine

    report: dict[str, Any] | None = None
