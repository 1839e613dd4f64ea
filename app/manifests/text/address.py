"""Loads the documents at an address."""

from collections.abc import Sequence
from typing import Any

import httpx2

from app.errors import BadRequestError, PayloadTooLargeError
from app.invokers.invoker import InvokerError
from app.invokers.web.answer_heads import AnswerTooLargeError
from app.invokers.web.failure_texts import failure_text
from app.invokers.web.http_client import guarded_client
from app.manifests.text.document import load_text
from app.manifests.text.limits import MAX_BYTES

_FETCH_SECONDS = 20.0


async def load_url(url: str, egress_allow: Sequence[str]) -> list[dict[str, Any]]:
    """The documents at an http or https address that the service may reach; no redirects.

    Args:
        url: where the manifest is.
        egress_allow: CIDRs that may be reached beside global addresses.

    Raises:
        BadRequestError: it is no such address, or did not answer with 200.
        PayloadTooLargeError: the answer is larger than 256 KB.
    """
    if not url.startswith(("http://", "https://")):
        raise BadRequestError("A manifest's address must begin with http:// or https://.")
    try:
        client = guarded_client(egress_allow, max_bytes=MAX_BYTES, max_seconds=_FETCH_SECONDS)
        async with client:
            answer = await client.get(url)
    except AnswerTooLargeError:
        raise PayloadTooLargeError(f"A manifest may have {MAX_BYTES:,} bytes.") from None
    except InvokerError as error:
        raise BadRequestError(f"The manifest cannot be fetched: {error}.") from None
    except httpx2.InvalidURL:
        raise BadRequestError("The manifest cannot be fetched: its address is no URL.") from None
    except httpx2.HTTPError as error:
        raise BadRequestError(f"The manifest cannot be fetched: {failure_text(error)}.") from None
    if answer.status_code != httpx2.codes.OK:
        raise BadRequestError(f"The manifest's address answered {answer.status_code}.")
    return await load_text(answer.content, most=None)
