"""What came of a model request that was answered: an answer, a part of one, or none."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import pydantic_core
from pydantic_ai.messages import ModelResponse, ThinkingPart, ToolCallPart
from pydantic_ai.models import ModelRequestParameters

from app.invokers.chat import MAX_CALLS, CallReader
from app.invokers.invoker import Answer, Finish, InvokerError, ToolCall, Usage
from app.invokers.web.secret_texts import SecretMask
from app.kit.storable import clean_text

_MAX_REFUSAL = 500
_MAX_NAME = 200


def end_of(
    response: ModelResponse,
    text: str,
    parameters: ModelRequestParameters,
    mask: SecretMask,
    *,
    reasoned: bool,
) -> Answer:
    """Why an answer ended, which tools it calls and what it cost; without its text.

    Args:
        response: what the model gave.
        text: the text of the answer.
        parameters: what the request offered.
        mask: takes out the secrets that the server was sent.
        reasoned: whether there was reasoning in the text, which is no part of it any more.

    Raises:
        InvokerError: there is no answer; the text says why.
    """
    details, usage = response.provider_details or {}, _usage(response)
    if refusal := details.get("refusal"):
        reason = f"the model refused to answer: {mask.text(str(refusal))[:_MAX_REFUSAL]}"
        raise InvokerError(reason, usage=usage)
    if response.finish_reason == "content_filter":
        reason = "the answer was withheld by the provider's content filter"
        raise InvokerError(reason, usage=usage)
    # What nobody offered is no call: the answer is its text.
    calls = tuple(_calls(response, mask)) if parameters.function_tools else ()
    if not text.strip() and not calls:
        reason = f"the model gave no answer: {_reason(response, reasoned=reasoned)}"
        raise InvokerError(reason, usage=usage)
    finish = Finish.LENGTH if response.finish_reason == "length" else Finish.COMPLETE
    return Answer("", finish, calls, usage)


def _calls(response: ModelResponse, mask: SecretMask) -> Iterator[ToolCall]:
    cut, reader = response.finish_reason == "length", CallReader()
    parts = (part for part in response.parts if isinstance(part, ToolCallPart))
    for part in islice(parts, MAX_CALLS):
        name = clean_text(mask.text(part.tool_name))[:_MAX_NAME]
        call = reader.read(name, _arguments(part, none="" if cut else "{}"))
        yield replace(call, arguments=mask.value(call.arguments))


def _arguments(part: ToolCallPart, *, none: str) -> str:
    """The arguments of a call as JSON.

    Args:
        part: the call.
        none: what stands for arguments that are not there: they may still have been to come.
    """
    if isinstance(part.args, dict):
        return pydantic_core.to_json(part.args).decode()
    return part.args or none


def _usage(response: ModelResponse) -> Usage:
    usage = response.usage
    return Usage.counted(usage.input_tokens, usage.output_tokens, usage.cache_read_tokens)


def _reason(response: ModelResponse, *, reasoned: bool) -> str:
    if response.finish_reason == "length":
        return "it reached the limit of its length before it said anything"
    if any(isinstance(part, ToolCallPart) for part in response.parts):
        return "it only called tools that nobody offered"
    if reasoned or any(isinstance(part, ThinkingPart) for part in response.parts):
        return "there is reasoning, but no text"
    return "its text is empty"
