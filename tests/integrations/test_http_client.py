"""http.client: what is its own; the rest is in test_clients.py."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import origin
import pytest
from loopback import Spans, serving

from fasttrace._core.types import StatusCode
from fasttrace.integrations.http_client import instrument, uninstrument


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(origin.APP) as base:
        yield base


@pytest.fixture
def everywhere() -> Iterator[None]:
    instrument()
    yield
    uninstrument()


@pytest.fixture
def connection(url: str) -> Iterator[http.client.HTTPConnection]:
    made = http.client.HTTPConnection("127.0.0.1", urlsplit(url).port, timeout=30)
    yield made
    made.close()


def test_request_written_piece_by_piece(spans: Spans, everywhere: None, connection: http.client.HTTPConnection) -> None:
    connection.putrequest("POST", "/echo")
    connection.putheader("Content-Length", "2")
    connection.putheader("traceparent", "mine")
    connection.endheaders()
    connection.send(b"ab")
    assert spans() == []
    sent = json.loads(connection.getresponse().read())
    (span,) = spans()
    assert sent["body"] == "ab"
    assert sent["contexts"] == [f"00-{span.trace_id}-{span.span_id}-03"]
    assert span.name == "POST"


def test_span_ends_with_the_headers_and_connections_are_used_again(
    spans: Spans, everywhere: None, connection: http.client.HTTPConnection
) -> None:
    for count in (1, 2):
        connection.request("GET", "/stream")
        response = connection.getresponse()
        assert len(spans()) == count
        assert response.read() == b"0\n1\n2\n"


def test_answer_that_nobody_reads_ends_with_the_connection(
    spans: Spans, everywhere: None, connection: http.client.HTTPConnection
) -> None:
    connection.request("GET", "/slow")
    assert spans() == []
    connection.close()
    (span,) = spans()
    assert span.status.status_code == StatusCode.UNSET
    assert "http.response.status_code" not in span.attributes


def test_broken_answer_is_recorded_and_raised(spans: Spans, everywhere: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = http.client.HTTPConnection("127.0.0.1", listener.getsockname()[1], timeout=30)
        connection.request("GET", "/")
        served, _ = listener.accept()
        with served:
            served.sendall(b"nonsense\r\n")
        with pytest.raises(http.client.BadStatusLine):
            connection.getresponse()
        connection.close()
    (span,) = spans()
    assert span.attributes["error.type"] == "http.client.BadStatusLine"


def test_misuse_raises_what_it_did(everywhere: None, connection: http.client.HTTPConnection) -> None:
    with pytest.raises(http.client.CannotSendHeader):
        connection.endheaders()
    with pytest.raises(http.client.ResponseNotReady):
        connection.getresponse()
    with pytest.raises(TypeError, match="instrument"):
        instrument(connection)  # type: ignore[arg-type]


def test_request_whose_body_fails_is_an_error(
    spans: Spans, everywhere: None, connection: http.client.HTTPConnection
) -> None:
    def body() -> Iterator[bytes]:
        yield b"a"
        raise LookupError("no more")

    with pytest.raises(LookupError):
        connection.request("POST", "/echo", body=body(), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    (span,) = spans()
    assert span.attributes["error.type"] == "LookupError"
