"""What came of a model request that was answered: an answer, a part of one, or none."""

from pydantic_ai.messages import ModelResponse, ThinkingPart, ToolCallPart

from app.invokers.invoker import Finish, InvokerError

_MAX_REFUSAL = 500


def finish_of(response: ModelResponse, text: str, *, reasoned: bool) -> Finish:
    """Why the answer ended.

    Args:
        response: what the model gave.
        text: the text of the answer.
        reasoned: whether there was reasoning in the text, which is no part of it any more.

    Raises:
        InvokerError: there is no answer; the text says why.
    """
    details = response.provider_details or {}
    if refusal := details.get("refusal"):
        raise InvokerError(f"the model refused to answer: {str(refusal)[:_MAX_REFUSAL]}")
    if response.finish_reason == "content_filter":
        raise InvokerError("the answer was withheld by the provider's content filter")
    if not text.strip():
        raise InvokerError(f"the model gave no answer: {_reason(response, reasoned=reasoned)}")
    return Finish.LENGTH if response.finish_reason == "length" else Finish.COMPLETE


def _reason(response: ModelResponse, *, reasoned: bool) -> str:
    if response.finish_reason == "length":
        return "it reached the limit of its length before it said anything"
    if any(isinstance(part, ToolCallPart) for part in response.parts):
        return "it only called tools that nobody offered"
    if reasoned or any(isinstance(part, ThinkingPart) for part in response.parts):
        return "there is reasoning, but no text"
    return "its text is empty"
