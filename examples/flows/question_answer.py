"""Question and answer: the user asks, the model answers, and so on."""

from app.flows import SessionMachine, SessionModel, State


class QuestionAnswerMachine(SessionMachine):
    """Entering `answering` sends its template to the model; the model's answer ends it."""

    intro = State(initial=True)
    answering = State()
    answered = State()
    ended = State(final=True)

    ask = intro.to(answering) | answered.to(answering)
    answer = answering.to(answered)
    stop = answered.to(ended)

    templates = {
        "intro": "question_answer/intro.jinja2",
        "answering": "question_answer/llm/answer.jinja2",
        "answered": "question_answer/answered.jinja2",
        "ended": "question_answer/ended.jinja2",
    }


class QuestionAnswer(SessionModel):
    """Answers questions."""

    machine = QuestionAnswerMachine
