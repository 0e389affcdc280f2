"""Clients over TLS, and through a proxy that only hands the bytes on: the span is of the origin."""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
import threading
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import urllib3
from loopback import Spans

from fasttrace.integrations import http_client as traced_http_client
from fasttrace.integrations import httpx as traced_httpx
from fasttrace.integrations import urllib3 as traced_urllib3

trustme = pytest.importorskip("trustme")


class Origin(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        context = (self.headers["traceparent"] or "").encode()
        self.send_response(200)
        self.send_header("content-length", str(len(context)))
        self.end_headers()
        self.wfile.write(context)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = trustme.CA()
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    made.cert_pem.write_to_path(path)
    return made, path


@pytest.fixture(scope="module")
def port(authority: Any) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority[0].issue_cert("localhost").configure_cert(context)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Origin)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.fixture
def trusted(authority: Any) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority[1])


def by_httpx(url: str, trusted: ssl.SSLContext, path: Path) -> str:
    with httpx.Client(verify=trusted, trust_env=False) as client:
        return client.get(url).text


def by_urllib3(url: str, trusted: ssl.SSLContext, path: Path) -> str:
    with urllib3.PoolManager(ssl_context=trusted) as manager:
        return manager.request("GET", url).data.decode()


def by_urllib_request(url: str, trusted: ssl.SSLContext, path: Path) -> str:
    handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusted)
    with urllib.request.build_opener(*handlers).open(url, timeout=30) as response:
        return response.read().decode()  # type: ignore[no-any-return]


def by_http_client(url: str, trusted: ssl.SSLContext, path: Path) -> str:
    connection = http.client.HTTPSConnection(url.split("/")[2], context=trusted, timeout=30)
    connection.request("GET", "/path")
    with connection.getresponse() as response:
        text = response.read().decode()
    connection.close()
    return text


def by_requests(url: str, trusted: ssl.SSLContext, path: Path) -> str:
    with pytest.importorskip("requests").Session() as session:
        session.trust_env = False
        text: str = session.get(url, verify=str(path)).text
        return text


def by_aiohttp(url: str, trusted: ssl.SSLContext, path: Path) -> str:
    async def call() -> str:
        async with pytest.importorskip("aiohttp").ClientSession() as session:
            async with session.get(url, ssl=trusted) as response:
                text: str = await response.text()
                return text

    return asyncio.run(call())


def modules() -> list[Any]:
    found = [traced_httpx, traced_urllib3, traced_http_client]
    for library in ("requests", "aiohttp"):
        pytest.importorskip(library)
        found.append(pytest.importorskip(f"fasttrace.integrations.{library}"))
    return found


@pytest.fixture
def everything() -> Iterator[None]:
    for module in modules():
        module.instrument()
    yield
    for module in modules():
        module.uninstrument()


CALLS = [by_httpx, by_urllib3, by_urllib_request, by_http_client, by_requests, by_aiohttp]


@pytest.mark.parametrize("call", CALLS)
def test_request_over_tls_is_one_span_too(
    spans: Spans, everything: None, port: int, trusted: ssl.SSLContext, authority: Any, call: Callable[..., str]
) -> None:
    context = call(f"https://localhost:{port}/path", trusted, authority[1])
    (span,) = spans()
    assert context == f"00-{span.trace_id}-{span.span_id}-03"
    assert span.attributes["url.full"] == f"https://localhost:{port}/path"
    assert (span.attributes["server.address"], span.attributes["server.port"]) == ("localhost", port)


@pytest.fixture
def proxy(port: int) -> Iterator[tuple[int, list[bytes]]]:
    """Takes one CONNECT, to the origin whatever it says."""
    seen: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, target: socket.socket) -> None:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        client, _ = listener.accept()
        asked = b""
        while b"\r\n\r\n" not in asked:
            asked += client.recv(65536)
        seen.append(asked)
        with client, socket.create_connection(("127.0.0.1", port)) as origin:
            client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            back = threading.Thread(target=pump, args=(origin, client), daemon=True)
            back.start()
            pump(client, origin)
            back.join(10)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1], seen
    thread.join(10)
    listener.close()


def test_tunnel_of_urllib3_carries_no_context_outside(
    spans: Spans, everything: None, proxy: tuple[int, list[bytes]], trusted: ssl.SSLContext
) -> None:
    given = {"X-Request": "1"}
    with urllib3.ProxyManager(f"http://127.0.0.1:{proxy[0]}", ssl_context=trusted) as manager:
        context = manager.request("GET", "https://localhost:444/path", headers=given).data.decode()
    (span,) = spans()
    assert context == f"00-{span.trace_id}-{span.span_id}-03"
    assert span.attributes["url.full"] == "https://localhost:444/path"
    assert b"traceparent" not in proxy[1][0].lower()
    assert given == {"X-Request": "1"}


def test_tunnel_of_http_client_carries_no_context_outside(
    spans: Spans, everything: None, proxy: tuple[int, list[bytes]], trusted: ssl.SSLContext
) -> None:
    connection = http.client.HTTPSConnection("127.0.0.1", proxy[0], context=trusted, timeout=30)
    connection.set_tunnel("localhost", 444)
    connection.request("GET", "/path")
    with connection.getresponse() as response:
        context = response.read().decode()
    connection.close()
    (span,) = spans()
    assert context == f"00-{span.trace_id}-{span.span_id}-03"
    assert span.attributes["url.full"] == "https://localhost:444/path"
    assert b"traceparent" not in proxy[1][0].lower()
