"""A connection's second request and all after it: the bytes that urllib3 would send, every answer read as it would."""

from __future__ import annotations

import gc
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import urllib3
from chaos import Chaos, answer, drip, hang, raw, reset, trickle
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from succeeding import succeed

from fasttrace.errors import ExportError
from fasttrace.export import OTLPExporter, connection, http, retry
from fasttrace.export.base import Batch

MakeBatch = Callable[..., Any]
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(retry, "FIRST_BACKOFF_SECONDS", 0.01)
    yield
    gc.collect()  # what is left open complains now, not in another test


class Plain:
    """A server that keeps what it gets byte for byte, by connection, and answers the n-th request with ``script[n]``.

    An answer is a list of pieces, sent one after the other; the last one of the script is used again.
    """

    def __init__(self, address: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.listener = socket.create_server(address, family=family)
        self.script: list[list[bytes]] = [[OK]]
        self.connections: list[list[bytes]] = []
        self.answered = 0
        self.sockets: list[socket.socket] = []
        self.port = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.sockets.append(client)
            self.connections.append([])
            self.threads.append(threading.Thread(target=self._serve, args=(client, self.connections[-1])))
            self.threads[-1].start()

    def _serve(self, client: socket.socket, requests: list[bytes]) -> None:
        while data := _request(client):
            requests.append(data)
            pieces = self.script[min(self.answered, len(self.script) - 1)]
            self.answered += 1
            with suppress(OSError):  # they may have seen enough
                for piece in pieces:
                    client.sendall(piece)
                    time.sleep(0.01 if len(pieces) > 1 else 0)

    def stop(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for client in self.sockets:
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self.threads:
            thread.join()
        for client in self.sockets:
            client.close()


def _request(client: socket.socket) -> bytes:
    """One request with its body; b"" at the end."""
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            data += (more := client.recv(65536))
            if not more:
                return b""
        head, _, body = data.partition(b"\r\n\r\n")
        (length,) = (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        while len(body) < length:
            body += client.recv(65536)
    except OSError:
        return b""
    return head + b"\r\n\r\n" + body


@pytest.fixture
def plain() -> Iterator[Plain]:
    server = Plain()
    yield server
    server.stop()


@pytest.fixture
def direct(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the bodies that went past urllib3."""
    sizes: list[int] = []
    original = connection.Connection.post

    def post(self: connection.Connection, body: bytes, deadline: float) -> Any:
        sizes.append(len(body))
        return original(self, body, deadline)

    monkeypatch.setattr(connection.Connection, "post", post)
    return sizes


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
@pytest.mark.parametrize(
    "headers", [{}, {"X-Tenant": "blü", "authorization": "Bearer 1"}, {"host": "other", "accept-encoding": "gzip"}]
)
def test_later_requests_are_the_first_one_byte_for_byte(
    make_batch: MakeBatch, direct: list[int], host: str, headers: dict[str, str]
) -> None:
    try:
        server = Plain(("::1", 0) if "[" in host else ("127.0.0.1", 0))
    except OSError as error:
        pytest.skip(f"no {host} on this machine: {error}")
    try:
        batch = make_batch(3)
        for target in ("/v1/traces", "/a%20b/v1/traces?key=a&b"):
            exporter = OTLPExporter(f"http://{host}:{server.port}{target}", headers=headers)
            for _ in range(3):
                exporter.export(batch)
            exporter.shutdown(1)
    finally:
        server.stop()
    assert len(direct) == 4
    for requests in server.connections:
        assert len(requests) == 3
        assert len(set(requests)) == 1
    assert server.connections[1][0].startswith(b"POST /a%20b/v1/traces?key=a&b HTTP/1.1\r\n")


def test_a_body_of_any_size_arrives_whole(plain: Plain, make_batch: MakeBatch, direct: list[int]) -> None:
    exporter = OTLPExporter(f"http://127.0.0.1:{plain.port}/v1/traces")
    batches = [make_batch(count, "operation" * 100) for count in (1, 1, 9000, 1)]
    for batch in batches:
        exporter.export(batch)
    exporter.shutdown(1)
    ((*requests,),) = plain.connections
    assert [request.partition(b"\r\n\r\n")[2] for request in requests] == [batch.otlp for batch in batches]
    assert max(direct) > 8 << 20


def _partial(rejected: int) -> bytes:
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = rejected
    return response.SerializeToString()


PARTIAL = _partial(2)
LENGTH = b"content-length: %d\r\n\r\n" % len(PARTIAL)
# Each answer tells that two spans were rejected.
ANSWERS = {
    "in one piece": [b"HTTP/1.1 200 OK\r\nserver: x\r\n" + LENGTH + PARTIAL],
    "kept alive": [b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nkeep-alive: timeout=5\r\n" + LENGTH + PARTIAL],
    "accepted": [b"HTTP/1.1 202 Accepted\r\n" + LENGTH + PARTIAL],
    "without a reason": [b"HTTP/1.1 200\r\n" + LENGTH + PARTIAL],
    "the head first": [b"HTTP/1.1 200 OK\r\n" + LENGTH, PARTIAL],
    "in the middle of the head": [b"HTTP/1.1 200 OK\r\nserv", b"er: x\r\n" + LENGTH + PARTIAL],
    "byte by byte": [bytes([byte]) for byte in b"HTTP/1.1 200 OK\r\n" + LENGTH + PARTIAL],
    "in chunks": [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n" % len(PARTIAL) + PARTIAL + b"\r\n0\r\n\r\n"
    ],
    "after a continue": [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + LENGTH + PARTIAL],
    "after early hints": [b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\n" + LENGTH + PARTIAL],
    "after much ado": [b"HTTP/1.1 102 Processing\r\n\r\n"] * 3 + [b"HTTP/1.1 200 OK\r\n" + LENGTH + PARTIAL],
    "on folded lines": [b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\n" + LENGTH + PARTIAL],
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_in_any_form_is_read_and_the_connection_kept(
    plain: Plain, make_batch: MakeBatch, direct: list[int], kind: str
) -> None:
    plain.script = [[OK], ANSWERS[kind], [OK]]
    exporter = OTLPExporter(f"http://127.0.0.1:{plain.port}/v1/traces")
    assert [exporter.export(make_batch(3)) for _ in range(3)] == [0, 2, 0]
    exporter.shutdown(1)
    assert [len(requests) for requests in plain.connections] == [3]
    assert len(direct) == 2


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_in_any_form_is_read_on_a_first_request_too(
    plain: Plain, make_batch: MakeBatch, direct: list[int], kind: str
) -> None:
    plain.script = [ANSWERS[kind], [OK]]
    exporter = OTLPExporter(f"http://127.0.0.1:{plain.port}/v1/traces")
    assert [exporter.export(make_batch(3)) for _ in range(2)] == [2, 0]
    exporter.shutdown(1)
    assert [len(requests) for requests in plain.connections] == [2]
    assert len(direct) == 1


ILLEGIBLE = b"content-encoding: gzip\r\ncontent-length: 7\r\n\r\nno "


def test_a_status_says_what_became_of_a_request_whatever_its_body_is(plain: Plain, make_batch: MakeBatch) -> None:
    # What is wrong shows before the body has ended: what is left of it is never taken for the next answer.
    accepted = [b"HTTP/1.1 200 OK\r\n" + ILLEGIBLE, b"gzip"]
    refused = [b"HTTP/1.1 400 Bad Request\r\n" + ILLEGIBLE, b"gzip"]
    plain.script = [accepted, [OK], accepted, [OK], refused, [OK]]
    exporter = OTLPExporter(f"http://127.0.0.1:{plain.port}/v1/traces", timeout=20)
    assert [exporter.export(make_batch(3)) for _ in range(4)] == [0] * 4
    with pytest.raises(ExportError, match="answered 400") as caught:
        exporter.export(make_batch(3))
    assert (caught.value.retryable, caught.value.ambiguous) == (False, False)
    exporter.export(make_batch(3))
    exporter.shutdown(1)
    assert sum(len(requests) for requests in plain.connections) == 6


CLOSING = {
    "it says so": [b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + LENGTH + PARTIAL],
    "HTTP/1.0": [b"HTTP/1.0 200 OK\r\n" + LENGTH + PARTIAL],
}


@pytest.mark.parametrize("kind", CLOSING)
def test_a_connection_that_is_to_be_closed_is(plain: Plain, make_batch: MakeBatch, kind: str) -> None:
    plain.script = [[OK], CLOSING[kind], [OK]]
    exporter = OTLPExporter(f"http://127.0.0.1:{plain.port}/v1/traces")
    assert [exporter.export(make_batch(3)) for _ in range(4)] == [0, 2, 0, 0]
    exporter.shutdown(1)
    assert [len(requests) for requests in plain.connections] == [2, 2]


FAILURES: dict[str, Any] = {
    "reset": reset,
    "nothing": raw(b""),
    "no HTTP": raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "half a line": raw(b"HTTP/1.1 20"),
    "cut short": raw(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf"),
    "chunks cut short": raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n50\r\nhalf"),
    "no chunks": raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"),
    "too much": answer(200, b"x" * (6 << 20)),
    "never": hang,
    "without an end": drip,
    "a head without an end": trickle(b"HTTP/1.1 200 OK\r\nserver: ", b"x"),
    "interim answers without an end": trickle(b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    **{str(status): answer(status, b"no such thing") for status in (301, 400, 413, 429, 500, 502, 503, 504)},
}


def _failure(exporter: OTLPExporter, batch: Any) -> tuple[Any, ...]:
    batch.attempt.urgent = lambda: True  # one try
    with pytest.raises(ExportError) as caught:
        exporter.export(batch)
    error = caught.value
    # A timeout's text has the seconds that were left.
    text, cause = str(error).partition("timeout=")[0], type(error.__cause__)
    if text.endswith(("Read timed out.", "the answer did not end in time")):
        text, cause = "time is up", TimeoutError  # between two pieces, or with one: as they happen to come
    return text, error.retryable, error.ambiguous, error.too_large, error.retry_after, cause


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_is_told_as_on_a_first_request_and_the_next_one_arrives(
    chaos: Chaos, make_batch: MakeBatch, direct: list[int], kind: str
) -> None:
    chaos.script = [FAILURES[kind], answer(200), FAILURES[kind], answer(200)]
    told = []
    for _ in range(2):
        exporter = OTLPExporter(chaos.endpoint, timeout=20)
        if told:
            exporter.export(make_batch(1))
        exporter.timeout = 0.3 if kind == "never" or "without" in kind else 20
        begin = time.monotonic()
        told.append(_failure(exporter, make_batch(1)))
        assert time.monotonic() - begin < 10
        chaos.wait_for(2 * len(told) - 1)
        if len(told) == 2:
            exporter.timeout = 20
            exporter.export(make_batch(1))
        exporter.shutdown(1)
    # The next one goes on the same connection only after a whole answer.
    assert len(direct) == (2 if kind.isdigit() else 1)
    assert told[0] == told[1]
    assert len(chaos.requests) == 4


@pytest.mark.parametrize("kind", ["in one piece", "in chunks"])
def test_an_answer_that_is_whole_counts_however_late(plain: Plain, kind: str) -> None:
    plain.script = [ANSWERS[kind]]
    with urllib3.PoolManager() as pool:
        response = pool.request("POST", f"http://127.0.0.1:{plain.port}/", body=b"", preload_content=False)
        assert http._read(response, deadline=0) == PARTIAL


def test_what_is_left_of_an_answer_is_never_taken_for_the_next_one(
    plain: Plain, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(response: Any, deadline: float) -> bytes:
        monkeypatch.undo()
        raise TimeoutError(response.read1(1))

    monkeypatch.setattr(http, "_read", give_up)
    plain.script = [[b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nx"], ANSWERS["in one piece"]]
    exporter = OTLPExporter(f"http://127.0.0.1:{plain.port}/v1/traces", timeout=20)
    batch = make_batch(3)
    assert exporter.export(batch) == 2
    exporter.shutdown(1)
    assert batch.attempt.retried_ambiguous == 3
    assert [len(requests) for requests in plain.connections] == [1, 1]


def test_a_connection_that_was_closed_meanwhile_costs_no_try(plain: Plain, make_batch: MakeBatch) -> None:
    exporter = OTLPExporter(f"http://127.0.0.1:{plain.port}/v1/traces", timeout=20)
    for _ in range(2):
        exporter.export(make_batch(1))
    plain.sockets[0].shutdown(socket.SHUT_RDWR)
    plain.threads[1].join()
    batch = make_batch(1)
    exporter.export(batch)
    assert batch.attempt.retried_ambiguous == 0
    assert [len(requests) for requests in plain.connections] == [2, 1]
    exporter.shutdown(1)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_never_writes_into_its_parents_connection(plain: Plain, make_batch: MakeBatch) -> None:
    exporter = OTLPExporter(f"http://127.0.0.1:{plain.port}/v1/traces", timeout=20)
    batch = make_batch(1)
    for _ in range(2):
        exporter.export(batch)
    child = os.fork()
    if not child:
        try:
            exporter.export(batch)
            exporter.export(batch)
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    exporter.export(batch)
    exporter.shutdown(1)
    assert [len(requests) for requests in plain.connections] == [3, 2]


def test_another_thread_has_a_connection_of_its_own(plain: Plain, make_batch: MakeBatch) -> None:
    exporter = OTLPExporter(f"http://127.0.0.1:{plain.port}/v1/traces", timeout=20)
    batch = make_batch(1)
    for _ in range(2):
        exporter.export(batch)
    thread = threading.Thread(target=exporter.export, args=(batch,))
    thread.start()
    thread.join()
    exporter.shutdown(1)
    assert [len(requests) for requests in plain.connections] == [2, 1]


def test_a_refusal_in_the_middle_of_a_large_body_is_read(make_batch: MakeBatch, direct: list[int]) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        client, _ = listener.accept()
        with client:
            _request(client)
            client.sendall(OK)
            client.recv(65536)
            client.sendall(b"HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 8\r\n\r\ntoo much")

    thread = threading.Thread(target=serve)
    thread.start()
    exporter = OTLPExporter(f"http://127.0.0.1:{listener.getsockname()[1]}/v1/traces", timeout=20)
    exporter.export(make_batch(1))
    with pytest.raises(ExportError, match="answered 413: too much"):
        exporter.export(Batch(bytes(64 << 20), 1))
    thread.join()
    listener.close()
    exporter.shutdown(1)
    assert direct == [64 << 20]


def test_shutdown_lets_a_request_end_and_closes_its_connection(
    plain: Plain, make_batch: MakeBatch, direct: list[int]
) -> None:
    exporter = OTLPExporter(f"http://127.0.0.1:{plain.port}/v1/traces", timeout=20)
    asked, answered = threading.Event(), threading.Event()

    class Slow(list[bytes]):
        def __iter__(self) -> Iterator[bytes]:
            asked.set()
            answered.wait(20)
            return iter([OK])

    plain.script = [[OK], Slow()]
    delivered: list[Any] = []
    thread = threading.Thread(target=lambda: delivered.extend(exporter.export(make_batch(1)) for _ in range(2)))
    thread.start()
    assert asked.wait(60)
    exporter.shutdown(1)
    answered.set()
    thread.join()
    assert delivered == [0, 0]
    assert len(direct) == 1
    plain.threads[1].join(20)  # ends when the connection does
    assert not plain.threads[1].is_alive()


def test_what_a_patch_adds_to_one_request_is_not_sent_with_all(
    plain: Plain, make_batch: MakeBatch, direct: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    import http.client

    numbers = iter(range(100))
    original = http.client.HTTPConnection.endheaders

    def endheaders(self: Any, *arguments: Any, **options: Any) -> None:
        self.putheader("x-request", str(next(numbers)))
        original(self, *arguments, **options)

    monkeypatch.setattr(http.client.HTTPConnection, "endheaders", endheaders)
    exporter = OTLPExporter(f"http://127.0.0.1:{plain.port}/v1/traces")
    for _ in range(3):
        exporter.export(make_batch(1))
    exporter.shutdown(1)
    sent = [request for requests in plain.connections for request in requests]
    assert len({request.partition(b"x-request: ")[2].partition(b"\r\n")[0] for request in sent}) == 3
    assert direct == []


def test_what_is_queued_at_exit_is_sent_on_a_connection_that_is_kept(plain: Plain) -> None:
    program = f"""
import fasttrace
from fasttrace.export import OTLPExporter
fasttrace.configure(exporter=OTLPExporter("http://127.0.0.1:{plain.port}/v1/traces"), schedule_delay=60)
tracer = fasttrace.get_tracer("test")
for name in ("first", "second"):
    tracer.start_span(name).end()
    fasttrace.flush()
tracer.start_span("at exit").end()
"""
    succeed([sys.executable, "-W", "error", "-c", program], quiet=True)
    assert [[b"at exit" in request for request in requests] for requests in plain.connections] == [[False, False, True]]
