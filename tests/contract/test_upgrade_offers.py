"""An offer to go on by HTTP/2, as Java's own client makes it, costs no request its body."""

import socket
from http.client import HTTPResponse
from urllib.parse import urlsplit

import pytest

from tests.contract.conftest import Service

BODY = b"apiVersion: statewright/v1\r\nkind: Dataset\r\nupgrade: h2c\r\n"


@pytest.mark.parametrize("parts", [1, 2], ids=["at once", "head and body apart"])
def test_a_request_that_offers_http_2_is_answered_by_http_1(service: Service, parts: int) -> None:
    head = "\r\n".join(
        (
            "POST /api/v1/cli/apply/ HTTP/1.1",
            "Host: localhost",
            f"Authorization: Bearer {service.key.api_key}",
            "Connection: Upgrade, HTTP2-Settings",
            "HTTP2-Settings: AAEAAEAA",
            "Upgrade: h2c",
            f"Content-Length: {len(BODY)}",
            "\r\n",
        )
    ).encode()
    address = urlsplit(service.base_url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        for _ in range(2):  # the connection goes on
            for chunk in [head + BODY] if parts == 1 else [head, BODY]:
                connection.sendall(chunk)
            answer = HTTPResponse(connection)
            answer.begin()
            assert answer.status == 400
            assert b'"loc":["upgrade"]' in answer.read()  # the body is there, letter by letter
