"""What a tool of an MCP server gave back, as a model is shown it."""

import json
from collections.abc import Sequence
from typing import Any

from mcp_types import (
    AudioContent,
    BlobResourceContents,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from app.invokers.web.secret_texts import SecretMask

_MAX_NOTE = 200


def content_text(content: Sequence[ContentBlock], structured: Any, mask: SecretMask) -> str:
    """The blocks as one text; JSON where the tool gave some back beside them.

    What is cut is masked before; the whole is not yet.
    """
    text = "\n".join(_text(block, mask) for block in content)
    if structured is None:
        return text
    if not text or _is_same(text, structured):
        return json.dumps(structured, ensure_ascii=False)
    both = {"text": text, "structured_content": structured}
    return json.dumps(both, ensure_ascii=False)


def _text(block: ContentBlock, mask: SecretMask) -> str:
    """A text as it is; of anything else, a note that it was there."""
    match block:
        case TextContent():
            return block.text
        case ResourceLink():
            return _note("a link to a resource", mask.text(block.uri))
        case EmbeddedResource():
            return _resource_text(block.resource, mask)
        case ImageContent() | AudioContent():
            return _note(f"an {block.type}", mask.text(block.mime_type))


def _resource_text(resource: TextResourceContents | BlobResourceContents, mask: SecretMask) -> str:
    if isinstance(resource, TextResourceContents):
        return resource.text
    return _note("a resource that is no text", mask.text(resource.uri))


def _note(what: str, which: str) -> str:
    return f"[{what}, not shown: {which[:_MAX_NOTE]}]"


def _is_same(text: str, structured: Any) -> bool:
    try:
        return bool(json.loads(text) == structured)
    except (ValueError, RecursionError):
        return False
